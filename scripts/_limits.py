"""The limits that a user meets, each read from its constant in the source.

A constant must be followed by a docstring, which has the reason; here is what users call it.
`scripts/gen-docs` makes the table in docs/operations.md of it.
"""

from __future__ import annotations

import ast
import importlib
import itertools
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table.

    Attributes:
        where: Folder or module below `vault_jwt_plugin`; exactly one module in it has the constant.
        name: The constant; with a dot, an attribute of it. `_S`, `_BYTES`, `_CHARS` and others at
            the end say the unit.
        words: What is limited, in a user's words.
        unit: When the name does not say it.
    """

    where: str
    name: str
    words: str
    unit: str = ""


_METHOD = "jwt_auth"
_JOSE = f"{_METHOD}/jose"
_FETCHING = f"{_METHOD}/fetching"
_CEL = f"{_METHOD}/cel"
_HOST = "host/request.py"
_GRPC = "goplugin/process.py"

LIMITS: dict[str, tuple[Limit, ...]] = {
    "Requests": (
        Limit(where=_HOST, name="MAX_DATA_CHARS", words="a request"),
        Limit(where=_HOST, name="MAX_OPEN_DATA_CHARS", words="a request that needs no token"),
        Limit(where=_HOST, name="MAX_DATA_VALUES", words="commas and brackets in a request"),
        Limit(where=_GRPC, name="HOST_LIMITS.max_message_bytes", words="a gRPC message"),
        Limit(where=_GRPC, name="HOST_LIMITS.max_header_list_bytes", words="gRPC headers"),
        Limit(
            where=_GRPC,
            name="HOST_LIMITS.max_concurrent_streams",
            words="requests under way on a connection",
        ),
        Limit(where=_GRPC, name="HOST_LIMITS.max_connections", words="connections of a process"),
        Limit(
            where=_GRPC,
            name="HOST_LIMITS.handshake_timeout_s",
            words="a connection until its handshake is done",
        ),
    ),
    "Tokens": (
        Limit(where=_METHOD, name="MAX_TOKEN_CHARS", words="a JWT"),
        Limit(where=_METHOD, name="MAX_HEADER_BYTES", words="a JWT's header"),
        Limit(
            where="sdk/jsonutil.py",
            name="STRICT_MAX_DEPTH",
            words="nesting of a JWT's JSON",
            unit="levels",
        ),
        Limit(
            where=_METHOD,
            name="MAX_TRIED_BYTES",
            words="bytes hashed for one JWT, over all keys that are tried",
        ),
        Limit(
            where=_METHOD,
            name="MAX_GLOB_WORK",
            words="characters of one claim's values, times the role's patterns for it",
        ),
        Limit(where=_METHOD, name="MAX_NAME_CHARS", words="a role's name in a login"),
        Limit(where=f"{_METHOD}/login", name="DEADLINE_S", words="a login that has to wait"),
        Limit(
            where=_METHOD,
            name="MAX_STARTS",
            words="starts of a login whose config or role changes while it waits",
        ),
    ),
    "Keys": (
        Limit(where=_METHOD, name="MAX_PEM_CHARS", words="a public key in PEM format"),
        Limit(where=_METHOD, name="MIN_RSA_BITS", words="an RSA key, at least"),
        Limit(where=_METHOD, name="MAX_RSA_BITS", words="an RSA key, at most"),
        Limit(where=_METHOD, name="MAX_KEYS", words="keys of a key set that are used"),
        Limit(where=_METHOD, name="KEY_SET_MAX_BYTES", words="a key set"),
        Limit(where=_METHOD, name="DISCOVERY_MAX_BYTES", words="a discovery document"),
        Limit(where=_METHOD, name="MAX_ENTRY_BYTES", words="a stored copy of a key set"),
    ),
    "Fetches": (
        Limit(where=_FETCHING, name="DEADLINE_S", words="a fetch, with its redirects"),
        Limit(where=_METHOD, name="MAX_REDIRECTS", words="redirects of a fetch"),
        Limit(where=_FETCHING, name="MAX_URL_CHARS", words="a URL"),
        Limit(where=_METHOD, name="MAX_CA_PEM_CHARS", words="the CA certificates of a URL"),
        Limit(where=_FETCHING, name="MAX_THREADS", words="fetches at a time"),
        Limit(
            where=_METHOD,
            name="MAX_THREADS_PER_SERVER",
            words="fetches at a time from one server",
        ),
        Limit(
            where=f"{_METHOD}/keys", name="MAX_WAITING", words="logins that wait for one key source"
        ),
        Limit(
            where=_METHOD,
            name="MAX_LARGE_CHARS",
            words="all logins over 65,536 characters that wait, for each mount",
        ),
    ),
    "Providers": (
        Limit(where=_METHOD, name="LOGIN_DEADLINE_S", words="all calls of one login"),
        Limit(where=_METHOD, name="MAX_ANSWER_BYTES", words="an answer of an API"),
        Limit(where=_METHOD, name="MAX_PAGES", words="pages of a list"),
        Limit(where=_METHOD, name="MAX_GROUPS", words="groups of a login"),
        Limit(
            where=_METHOD,
            name="MAX_PATTERN_CHARS",
            words="a `groups_filter`",
        ),
    ),
    "Policy templates": (
        Limit(where=_METHOD, name="MAX_POLICIES", words="policies of a role"),
        Limit(where=_METHOD, name="MAX_TEMPLATE_LENGTH", words="a template"),
        Limit(where=_METHOD, name="MAX_NESTING_DEPTH", words="nesting", unit="levels"),
        Limit(where=f"{_METHOD}/policies", name="MAX_VARIABLES", words="variables"),
        Limit(where=_METHOD, name="MAX_NAME_LENGTH", words="what a template writes"),
        Limit(where=_METHOD, name="MAX_TEXT_LENGTH", words="a string that a function makes"),
        Limit(where=_METHOD, name="MAX_STEPS", words="steps of a login's templates"),
        Limit(where=_METHOD, name="MAX_ITERATIONS", words="rounds of `range` in a login"),
    ),
    "CEL roles": (
        Limit(where=_METHOD, name="MAX_PROGRAM_CHARS", words="a program"),
        Limit(where=f"{_CEL}/role.py", name="MAX_VARIABLES", words="variables of a program"),
        Limit(where=_CEL, name="MAX_DEPTH", words="nesting of claims", unit="levels"),
        Limit(where=_METHOD, name="MAX_TEXT_CHARS", words="a string of a claim"),
        Limit(where=f"{_CEL}/values.py", name="MAX_CHARS", words="all strings of the claims"),
        Limit(where=_METHOD, name="MAX_ITEMS", words="elements of a list"),
        Limit(where=_CEL, name="DEADLINE_S", words="an evaluation over large claims"),
    ),
    "The log": (
        Limit(
            where="sdk/log_limit.py",
            name="LINES_PER_WINDOW",
            words="lines a minute about one reason that callers can cause, for each mount",
        ),
        Limit(where="sdk/text.py", name="MAX_QUOTED_CHARS", words="a caller's text in a message"),
    ),
    "Memory": (
        Limit(where=_METHOD, name="MAX_ROLES", words="roles kept, for each mount"),
        Limit(where=_METHOD, name="MAX_CEL_ROLES", words="CEL roles kept, for each mount"),
        Limit(
            where=_METHOD,
            name="MAX_AGE_S",
            words="age of a kept config or role on a node that can't write",
        ),
    ),
}


def table() -> str:
    """Return the limits as a Markdown table."""
    rows = ["| of | what | limit |", "|---|---|---|"]
    for group, limits in LIMITS.items():
        for limit in limits:
            rows.append(f"| {group} | {limit.words} | {shown(limit, value(limit))} |")
            group = ""  # noqa: PLW2901 - the name stands in the first row only
    return "\n".join(rows)


def value(limit: Limit) -> float:
    """Return the constant's value.

    Raises:
        LookupError: No module or more than one has the constant, or no docstring follows it.
    """
    name, _, attribute = limit.name.partition(".")
    root = REPO / "vault_jwt_plugin" / limit.where
    paths = sorted(root.rglob("*.py")) if root.is_dir() else [root]
    found = [path for path in paths if path.exists() and documented(path, name)]
    if len(found) != 1:
        raise LookupError(
            f"{limit.name}: {len(found)} modules in {limit.where} have it with a docstring: "
            "correct scripts/_limits.py"
        )
    module = ".".join(found[0].relative_to(REPO).with_suffix("").parts)
    constant = getattr(importlib.import_module(module), name)
    number: float = getattr(constant, attribute) if attribute else constant
    return number


def documented(path: Path, name: str) -> bool:
    """Return whether a module assigns this name and says in a docstring what it is."""
    body = ast.parse(path.read_text()).body
    for node, after in itertools.pairwise(body):
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == name:
            return isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return False


def shown(limit: Limit, number: float) -> str:
    """Return the value with its unit."""
    name = limit.name.lower()
    if name.endswith("_bytes"):
        scale, unit = (MIB, "MiB") if number >= MIB else (KIB, "KiB")
        return f"{number / scale:g} {unit}"
    if name.endswith("_s"):
        return f"{number:g} s"
    unit = limit.unit
    if name.endswith(("_chars", "_length")):
        unit = "characters"
    elif name.endswith("_bits"):
        unit = "bits"
    return f"{int(number):,} {unit}".strip()
