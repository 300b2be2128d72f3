"""What a case of the differential suite says: steps as data, with names for what a run makes.

A step's data may hold these texts, replaced at run time (see `World.resolve`):

- `$pem:KEY`, `$pkcs1:KEY`, `$cert:KEY`, `$expired:KEY`: a key's public half as PEM
- `$http`, `$https`: the issuer's address, in `$http/jwks` for one; `$dead`: where nobody listens
- `$ca`, `$other-ca`: the certificate of the https issuer's authority, and of another one

and, in claims, `Now(seconds)`: a NumericDate that far from the moment of the login.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIENCE = "https://vault.plugin.auth.jwt.test"
SUBJECT = "r3qX9DljwFIWhsiqwFiu38209F10atW6@clients"


@dataclass(frozen=True, slots=True)
class Now:
    """A NumericDate relative to the login. `kind` float keeps the fraction given."""

    offset: float = 0
    kind: type[int | float] = int


class _Absent:
    """Takes a claim of the usual set out."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()

CLAIMS: Mapping[str, Any] = {
    "iss": "https://team-vault.example/",
    "sub": SUBJECT,
    "aud": AUDIENCE,
    "exp": Now(300),
    "nbf": Now(-10),
    "iat": Now(-10),
    "https://vault/user": "jeff",
    "https://vault/groups": ["foo", "bar"],
    "first_name": "jeff2",
    "org": {"primary": "engineering", "teams": ["a", "b"], "a/b": "slash", "m~n": "tilde"},
    "color": "green",
    "hk": {"foo": "12345"},
    "number": 42,
    "fraction": 42.9,
    "big": 9007199254740993,
    "flag": True,
    "nothing": None,
    "size": ["S", "M"],
    "sizes": [1, 2],
}
"""The claims of a login unless the step changes some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request below the mount, as root. `data` None = no body."""

    method: str
    path: str
    data: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A login as nobody; what it issues is looked up, with its entity.

    Attributes:
        role: None = not sent.
        claims: Changes to CLAIMS; ABSENT takes one out.
        header: Changes to the header, or its bytes.
        payload: The payload's bytes instead of claims.
        jwt: The whole token instead of a signed one.
        edit: Pattern and replacement, applied to the compact form.
        data: More members of the request.
        path: Where to log in.
    """

    role: Any = "demo"
    claims: Mapping[str, Any] = field(default_factory=dict)
    key: str = "rsa"
    alg: str = "RS256"
    header: Mapping[str, Any] | bytes = field(default_factory=dict)
    payload: bytes | None = None
    jwt: Any = None
    edit: tuple[str, str] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    path: str = "login"

    def edited(self, compact: str) -> str:
        """The compact form with `edit` applied."""
        return compact if self.edit is None else re.sub(*self.edit, compact, count=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Renew the token of the mount's last login. `increment`: seconds asked for."""

    increment: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An external group with this alias on the mount, and these policies."""

    alias: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """Tune the mount."""

    data: Mapping[str, Any]


Step = Call | Login | Renew | Group | Tune


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A story told to both mounts. `families`: the hosts whose builtin method knows it."""

    name: str
    steps: tuple[Step, ...]
    families: tuple[str, ...] = ("bao", "vault")

    @property
    def setup(self) -> str | None:
        """What its mounts have in common with those of other cases, None if they are its own.

        `bare`: never configured. `static`: with `STATIC` written, again by each case. Such a case
        leaves nothing but the roles in `SHARED_PATHS`, which are deleted after it, and tokens.
        """
        first, *rest = self.steps
        if self.name.startswith("identity-"):
            return None
        if first == STATIC and all(_changes_roles_alone(step, logs_in=True) for step in rest):
            return "static"
        if all(_changes_roles_alone(step, logs_in=False) for step in self.steps):
            return "bare"
        return None


SHARED_PATHS = ("role/demo", "cel/role/demo")
"""What cases that share their mounts write, besides `STATIC`."""


def _changes_roles_alone(step: Step, *, logs_in: bool) -> bool:
    """Whether a step changes nothing of a mount but `SHARED_PATHS`."""
    if isinstance(step, Login | Renew):
        return logs_in
    return isinstance(step, Call) and step.path in SHARED_PATHS


# The words that the tables are written in.


def config(**data: Any) -> Call:
    """Write the config."""
    return Call(method="POST", path="config", data=data)


def role(name: str = "demo", /, **data: Any) -> Call:
    """Write a role from exactly this data."""
    return Call(method="POST", path=f"role/{name}", data=data)


def demo(**data: Any) -> Call:
    """Write the role `demo`, which accepts CLAIMS, with changes. ABSENT takes a parameter out."""
    usual = {
        "role_type": "jwt",
        "bound_audiences": AUDIENCE,
        "user_claim": "https://vault/user",
        "token_policies": "webapps",
    }
    merged = usual | data
    return role(**{name: value for name, value in merged.items() if value is not ABSENT})


def read(path: str, **query: str) -> Call:
    """Read."""
    return Call(method="GET", path=path, query=query)


def listing(path: str, **query: str) -> Call:
    """List."""
    return Call(method="LIST", path=path, query=query)


def delete(path: str) -> Call:
    """Delete."""
    return Call(method="DELETE", path=path)


STATIC = config(jwt_validation_pubkeys="$pem:rsa")
"""The config of most login cases."""


def configs(name: str, *writes: Mapping[str, Any], families: tuple[str, ...] | None = None) -> Case:
    """Each config write in turn, then what reads back."""
    steps = (*(config(**data) for data in writes), read("config"))
    return _case(f"config-{name}", steps, families)


def roles(name: str, *writes: Mapping[str, Any], families: tuple[str, ...] | None = None) -> Case:
    """Each role write in turn, with the least parameters added to the first, then the read-back."""
    first, *later = writes
    steps = (demo(**first), *(role(**data) for data in later), read("role/demo"))
    return _case(f"role-{name}", steps, families)


def logins(
    name: str,
    *attempts: Step,
    families: tuple[str, ...] | None = None,
    **parameters: Any,
) -> Case:
    """Logins with static keys and the role `demo` changed as said."""
    return _case(f"login-{name}", (STATIC, demo(**parameters), *attempts), families)


def story(name: str, *steps: Step, families: tuple[str, ...] | None = None) -> Case:
    """Exactly these steps."""
    return _case(name, steps, families)


def _case(name: str, steps: tuple[Step, ...], families: tuple[str, ...] | None) -> Case:
    return Case(name=name, steps=steps, families=families or ("bao", "vault"))
