"""`oidc/auth_url`, `oidc/callback`, `oidc/poll`: what they answer while there is no OIDC flow.

Mirrors the declarations of `path_oidc.go` of both Go methods. No path here ever issues a token.

The web UIs ask `oidc/auth_url` before they draw the login form of a mount, and show the field
for a JWT only if the first error is `NOT_CONFIGURED`, to the letter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vault_jwt_plugin.jwt_auth.config.config import STORAGE_KEY
from vault_jwt_plugin.sdk import (
    OPENBAO_ONLY,
    Field,
    FieldData,
    FieldType,
    Operation,
    OperationSpec,
    Path,
    RawResponse,
    Request,
    Response,
    UserError,
    jsonutil,
)

if TYPE_CHECKING:
    from vault_jwt_plugin.jwt_auth.mount import Mount

NOT_CONFIGURED = "OIDC login is not configured for this mount"
"""Both web UIs compare the error with this text."""

NOT_SUPPORTED = (
    "this version of the plugin does not support OIDC logins; send a JWT to the login path, "
    "with a role of role_type=jwt"
)

UNAUTHENTICATED = ("oidc/auth_url", "oidc/callback", "oidc/poll")

_STATE = Field(name="state", type=FieldType.STRING, description="The state of the login.")
_CLIENT_NONCE = Field(
    name="client_nonce",
    type=FieldType.STRING,
    description="The nonce that the client chose; the same at every step of a login.",
)

_AUTH_URL_FIELDS = (
    Field(
        name="role",
        type=FieldType.LOWER_STRING,
        description="The role to log in with; the configuration's default_role if left out.",
    ),
    Field(
        name="redirect_uri",
        type=FieldType.STRING,
        description="Where the OIDC provider sends the browser after the login.",
    ),
    _CLIENT_NONCE,
)
_CALLBACK_FIELDS = (
    replace(_STATE, query=True),
    Field(
        name="code",
        type=FieldType.STRING,
        description="The provider's authorization code.",
        query=True,
    ),
    Field(name="id_token", type=FieldType.STRING, description="The provider's ID token."),
    replace(_CLIENT_NONCE, query=True),
    *(
        Field(
            name=name,
            type=FieldType.STRING,
            description=description,
            query=True,
            hosts=OPENBAO_ONLY,
        )
        for name, description in (
            ("error", "Why the provider refused, as a code."),
            ("error_description", "Why the provider refused, in words."),
            ("error_uri", "Where the provider explains the refusal."),
            ("confirmation", "Whether the user confirmed a login in direct mode."),
        )
    ),
)
_POLL_FIELDS = (_STATE, _CLIENT_NONCE)

_DESCRIPTION = """
Logins in a browser are not supported by this version. On a mount without an OIDC
client the answer says that they are not configured, so that the web UIs ask for a
JWT instead.
"""


class OIDCPaths:
    """The handlers of one mount.

    Args:
        mount: What the handlers share.
    """

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    def paths(self) -> tuple[Path, ...]:
        """Declare the three paths."""
        return (
            Path(
                pattern="oidc/callback",
                fields=_CALLBACK_FIELDS,
                operations={
                    Operation.READ: OperationSpec(
                        handler=self.refuse,
                        summary="Callback endpoint to complete an OIDC login.",
                        operation_id="jwt-oidc-callback",
                    ),
                    Operation.UPDATE: OperationSpec(
                        handler=self.refuse,
                        summary="Callback endpoint to handle form_posts.",
                        operation_id="jwt-oidc-callback-form-post",
                    ),
                },
                help_synopsis="Completes an OIDC login.",
                help_description=_DESCRIPTION.strip(),
            ),
            Path(
                pattern="oidc/auth_url",
                fields=_AUTH_URL_FIELDS,
                operations={
                    Operation.UPDATE: OperationSpec(
                        handler=self.auth_url,
                        summary="Request an authorization URL to start an OIDC login flow.",
                        operation_id="jwt-oidc-request-authorization-url",
                    )
                },
                help_synopsis="Starts an OIDC login.",
                help_description=_DESCRIPTION.strip(),
            ),
            Path(
                pattern="oidc/poll",
                fields=_POLL_FIELDS,
                operations={
                    # Without an id, as OpenBao's method: clients know the one made of the path.
                    Operation.UPDATE: OperationSpec(
                        handler=self.refuse,
                        summary="Poll endpoint to complete an OIDC login.",
                    )
                },
                help_synopsis="Asks whether an OIDC login is complete.",
                help_description=_DESCRIPTION.strip(),
            ),
        )

    async def auth_url(self, _request: Request, _data: FieldData) -> Response:
        """Refuse to start a login, in a way that makes the web UIs show the field for a JWT.

        With an OIDC client the answer has a second error, which command lines print too. Any
        other first error would leave the web UIs with a button that only says "Invalid role".

        Raises:
            UserError: The mount has no OIDC client, or no configuration at all.
            InternalError: Storage failed, or what is stored can't be understood.
        """
        await self._check_client()
        errors = {"errors": [NOT_CONFIGURED, NOT_SUPPORTED]}
        return Response(
            raw=RawResponse(
                status=400,
                content_type="application/json",
                body=jsonutil.dumps(errors).encode(),
                cache_control="no-store",
            )
        )

    async def refuse(self, _request: Request, _data: FieldData) -> Response | None:
        """Refuse a step of a login that was never started.

        Differs from Vault, Differs from OpenBao: there the callback looks for the state first,
        and a posted one answers 405 unless `oidc_response_mode` is `form_post`.

        Raises:
            UserError: Always, unless storage failed.
            InternalError: Storage failed, or what is stored can't be understood.
        """
        await self._check_client()
        raise UserError(NOT_SUPPORTED, code="oidc_unsupported")

    async def _check_client(self) -> None:
        """Refuse unless an OIDC client is configured."""
        config = await self._mount.configs.get(STORAGE_KEY)
        if config is None:
            raise UserError("could not load configuration", code="config_missing")
        if not (config.oidc_discovery_url and config.oidc_client_id and config.oidc_client_secret):
            raise UserError(NOT_CONFIGURED, code="oidc_not_configured")
