"""Why a login is denied, a key refused, or a fetch failed.

    sdk.errors.UserError           400, the text is shown
    +-- LoginDenied                a check of a login said no
    +-- PublicKeyError             a configured public key can't be used
    +-- FetchError                 an issuer's document could not be had
    sdk.errors.PermissionDenied    403, nothing is shown
    +-- LoginForbidden             the client's address is not allowed

Codes are stable: counters, logs and tests read them. Messages name claims and
kinds, never a value of the token, of a key or of the role.
"""

from __future__ import annotations

from vault_jwt_plugin.sdk.errors import PermissionDenied, UserError


class LoginDenied(UserError):
    """A check of a login said no: HTTP 400.

    Attributes:
        claim: the claim that was looked at; None when it was none.
        expected: what the check wants, in words ("a string"); None when the code says it all.
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
        url: which one, without credentials and query.
        problem: the message without the URL, for those who must not show it.
        status: the HTTP status with code `http_status`; None otherwise.
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
    """The denial of who waits for others, when config or role have changed each time."""
    return LoginDenied(
        "changed_meanwhile",
        "the configuration or the role was changed again and again meanwhile; try again",
    )
