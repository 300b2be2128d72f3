"""Why a login is denied, a key refused, or a fetch failed.

    sdk.errors.UserError           400, the text is shown
    +-- LoginDenied                a check of a login said no
    +-- PublicKeyError             a configured public key can't be used
    +-- FetchError                 an issuer's document could not be had
    sdk.errors.PermissionDenied    403, nothing is shown
    +-- LoginForbidden             the client's address is not allowed

Codes are stable: counters, logs and tests read them. Messages name claims and kinds of values,
never a value of the token, of a key or of the role.
"""

from __future__ import annotations

from vault_jwt_plugin.sdk.errors import PermissionDenied, UserError
from vault_jwt_plugin.sdk.text import quoted


class LoginDenied(UserError):
    """A check of a login said no: HTTP 400.

    Attributes:
        claim: the claim that was looked at, if it was one.
        expected: what the check wants, in words; None when the code says it all.
        received: the kind of what came ("a number", "nothing"); never its value.
    """

    code = "login_denied"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        claim: str | None = None,
        expected: str | None = None,
        received: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.claim = claim
        self.expected = expected
        self.received = received


def claim_missing(code: str, claim: str, *, use: str = "", expected: str) -> LoginDenied:
    """Return the denial for a claim that is missing or null.

    Args:
        code: reason code.
        claim: name or pointer.
        use: what the role uses the claim for, such as "the role's user_claim".
        expected: what the claim must be.
    """
    message = f"claim {_named(claim, use)} is missing"
    return LoginDenied(code, message, claim=claim, expected=expected, received="nothing")


def claim_unfit(
    code: str, claim: str, *, use: str = "", expected: str, received: str
) -> LoginDenied:
    """Return the denial for a claim of another kind than the check wants; see `claim_missing`."""
    message = f"claim {_named(claim, use)} must be {expected}, is {received}"
    return LoginDenied(code, message, claim=claim, expected=expected, received=received)


def _named(claim: str, use: str) -> str:
    return f"{quoted(claim)} ({use})" if use else quoted(claim)


class LoginForbidden(PermissionDenied):
    """The client's address is not one that the role allows: HTTP 403 without detail."""

    code = "address_forbidden"


class PublicKeyError(UserError):
    """A public key of the configuration can't be used. The message never holds the PEM.

    Attributes:
        index: which of the keys, counted from 1.
    """

    code = "public_key_invalid"

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(message)
        self.index = index


class FetchError(UserError):
    """An issuer's document could not be had, or is not what it should be.

    Codes: `bad_url`, `bad_ca_pem`, `dns`, `unreachable`, `timeout`, `tls_untrusted`,
    `tls_name`, `tls_failed`, `redirect_refused`, `http_status`, `too_large`, `not_json`,
    `tls_critical_extension`, `not_a_key_set`, `not_discovery`, `issuer_mismatch`,
    `not_in_cluster`.

    Attributes:
        url: the document's, without credentials and query.
        problem: the message without the URL, for callers that must not show it.
        status: the HTTP status, only with the code `http_status`.
    """

    code = "fetch_failed"

    def __init__(
        self, code: str, message: str, *, url: str, problem: str = "", status: int | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.url = url
        self.problem = problem or message
        self.status = status


def changed_meanwhile() -> LoginDenied:
    """Return the denial for a login during which the configuration or role changed every time."""
    return LoginDenied(
        "changed_meanwhile",
        "the configuration or the role was changed again and again meanwhile; try again",
    )
