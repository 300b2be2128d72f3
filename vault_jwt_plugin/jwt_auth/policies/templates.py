"""Make the names of policies from the token's claims (`token_policies_template_claims`).

OpenBao evaluates each policy of such a role as a Go text/template over the verified claims
(builtin/credential/jwt/path_role.go, maybeTemplatePolicies). This is the part of that language
that policy names need, with the same results (the tests compare with Go's own): fields, variables,
pipelines, `if`, `with`, `range`, and functions of OpenBao and of the language. The rest is refused
by name when the role is written.

    UserError
    +-- TemplateSyntaxError    policy_template_invalid, at the role's write
    +-- TemplateError          at a login:
                               policy_template_claim_missing, the token lacks a claim
                               policy_template_failed, the template can't be evaluated on it
                               policy_name_refused, the result must not be a policy's name
"""

from __future__ import annotations

import re
import secrets
import string
import time
import uuid as uuids
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.policies.go_template import parser
from vault_jwt_plugin.jwt_auth.policies.go_template.functions import Environment
from vault_jwt_plugin.jwt_auth.policies.go_template.lexer import MalformedTemplateError
from vault_jwt_plugin.jwt_auth.policies.go_template.limits import (
    MAX_POLICIES,
    MAX_TEMPLATE_LENGTH,
    ClaimMissingError,
    EvaluationError,
    Meter,
)
from vault_jwt_plugin.jwt_auth.policies.go_template.operands import ROOT, Run
from vault_jwt_plugin.jwt_auth.policies.go_template.statements import Statement, run_all
from vault_jwt_plugin.jwt_auth.policies.go_template.values import join
from vault_jwt_plugin.sdk.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

# Go's unicode.IsSpace; str.strip() also takes U+001C to U+001F.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
_SPACES += "".join(map(chr, range(0x2000, 0x200B)))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ROOT_POLICY = "root"
_BASE62 = (string.ascii_uppercase + string.ascii_lowercase + string.digits).encode()
# Each letter or digit is drawn by four of the 256 bytes; the last eight are dropped.
_BASE62_OF_BYTE = (_BASE62 * 5)[:256]
_UNUSED_BYTES = bytes(range(4 * len(_BASE62), 256))


class TemplateSyntaxError(UserError):
    """A policy is not a supported template.

    Attributes:
        policy: its number in the role's list, from 1.
        position: the character in it, from 1; None when the fault has no one place.
        construct: the word or sign that is refused.
    """

    code = "policy_template_invalid"

    def __init__(
        self, reason: str, *, policy: int, position: int | None = None, construct: str = ""
    ) -> None:
        super().__init__(f"{_place(policy, position)}: {reason}")
        self.policy = policy
        self.position = position
        self.construct = construct


class TemplateError(UserError):
    """A policy's name can't be made from the claims. The text holds no claim's value.

    Attributes:
        policy: its number in the role's list, from 1.
        position: the character in it, from 1; None when the fault has no one place.
    """

    def __init__(self, reason: str, *, code: str, policy: int, position: int | None) -> None:
        place = _place(policy, position)
        super().__init__(f"the role's token_policies can't be made: {place}: {reason}", code=code)
        self.policy = policy
        self.position = position


def random_base62(length: int) -> str:
    """Return that many random letters and digits (base62.Random)."""
    text = b""
    while len(text) < length:
        missing = length - len(text)
        drawn = secrets.token_bytes(missing + missing // 4 + 1)
        text += drawn.translate(_BASE62_OF_BYTE, _UNUSED_BYTES)
    return text[:length].decode()


def random_uuid() -> str:
    """Return a random UUID (uuid.GenerateUUID)."""
    return str(uuids.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTemplates:
    """The parsed policies of a role.

    Attributes:
        static: the policies that are no templates; sorted, without duplicates.
        templates: (number in the role's list, statements) of the others.
    """

    static: tuple[str, ...]
    templates: tuple[tuple[int, tuple[Statement, ...]], ...]

    @classmethod
    def parse(cls, policies: Sequence[str]) -> PolicyTemplates:
        """Parse the policies of a role.

        Raises:
            TemplateSyntaxError: one is empty, too long or not supported, or there are too many.
        """
        if len(policies) > MAX_POLICIES:
            raise TemplateSyntaxError(
                f"a role whose policies are templates has at most {MAX_POLICIES} of them",
                policy=MAX_POLICIES + 1,
            )
        static: set[str] = set()
        templates: list[tuple[int, tuple[Statement, ...]]] = []
        for number, policy in enumerate(policies, 1):
            statements = _parse(policy, number)
            if "{{" in policy:
                templates.append((number, statements))
            else:
                static.add(policy.strip(_SPACES))
        static.discard("")
        return cls(static=tuple(sorted(static)), templates=tuple(templates))

    def render(
        self,
        claims: Mapping[str, Any],
        *,
        random: Callable[[int], str] = random_base62,
        uuid: Callable[[], str] = random_uuid,
        now_ns: Callable[[], int] = time.time_ns,
        zone: tzinfo | None = None,
    ) -> tuple[str, ...]:
        """Return the policies for these claims: trimmed, without duplicates and empty ones, sorted.

        Args:
            claims: the verified claims, decoded JSON; other numbers than int are Decimals.
            random: the function `random`, which is given a length.
            uuid: the function `uuid`.
            now_ns: the clock, nanoseconds since 1970.
            zone: the time zone of the function `timestamp`; None is the process's own, as in Go.

        Raises:
            TemplateError: a claim is missing, a template can't be evaluated, or a result is
                refused as a policy's name.
        """
        if not self.templates:
            return self.static
        meter = Meter()
        environment = Environment(random=random, uuid=uuid, now_ns=now_ns, zone=zone, meter=meter)
        names = set(self.static)
        for number, statements in self.templates:
            run = Run(environment=environment, meter=meter, variables=[(ROOT, claims)])
            try:
                run_all(statements, run, claims)
                name = _check_name(run.output)
            except EvaluationError as error:
                raise _template_error(error, number) from None
            names.add(name)
        names.discard("")
        return tuple(sorted(names))


class _NameRefusedError(EvaluationError):
    """The result of a template must not be a policy's name."""


def _check_name(output: Sequence[str]) -> str:
    """Return the name that a template wrote, trimmed, unless it is refused."""
    name = "".join(output)
    if not name.isprintable():
        name = join([name]).strip(_SPACES)
        if _CONTROL.search(name) is not None:
            raise _NameRefusedError("the policy name holds a control character")
        if _SURROGATE.search(name) is not None:
            # A cut through a letter, or decoded bytes. The hosts' wire form is UTF-8.
            raise _NameRefusedError("the policy name is not UTF-8")
    name = name.strip(_SPACES)
    # Hosts lower the names that they are given (CVE-2025-64761).
    if name.lower() == _ROOT_POLICY:
        raise _NameRefusedError('a template may not give the policy "root"')
    return name


def _parse(policy: str, number: int) -> tuple[Statement, ...]:
    if not policy:
        raise TemplateSyntaxError("is empty", policy=number)
    if len(policy) > MAX_TEMPLATE_LENGTH:
        reason = f"has more than {MAX_TEMPLATE_LENGTH} characters"
        raise TemplateSyntaxError(reason, policy=number)
    surrogate = _SURROGATE.search(policy)
    if surrogate is not None:
        raise TemplateSyntaxError(
            "a character is not Unicode",
            policy=number,
            position=surrogate.start() + 1,
            construct=f"U+{ord(surrogate.group()):04X}",
        )
    try:
        return parser.parse(policy)
    except MalformedTemplateError as fault:
        raise TemplateSyntaxError(
            fault.reason, policy=number, position=fault.position + 1, construct=fault.construct
        ) from None


def _template_error(error: EvaluationError, policy: int) -> TemplateError:
    if isinstance(error, ClaimMissingError):
        code = "policy_template_claim_missing"
    elif isinstance(error, _NameRefusedError):
        code = "policy_name_refused"
    else:
        code = "policy_template_failed"
    position = None if error.position is None else error.position + 1
    return TemplateError(error.reason, code=code, policy=policy, position=position)


def _place(policy: int, position: int | None) -> str:
    return f"policy {policy}" if position is None else f"policy {policy}, character {position}"
