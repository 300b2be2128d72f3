"""The mount's configuration: the source of keys, and the conditions for every token.

The stored form is the Go methods' own (`jwtConfig` in `path_config.go` of both).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.providers import readable_settings
from vault_jwt_plugin.sdk import (
    KEEP,
    OPENBAO_ONLY,
    OURS,
    RESET,
    VAULT_ONLY,
    Field,
    FieldData,
    FieldType,
    InternalError,
    fields_of,
    jsonutil,
    parameter,
    parameters,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STORAGE_KEY = "config"

RESPONSE_MODES = ("query", "form_post")
RESPONSE_TYPES = ("code", "id_token")


class StoredConfigError(InternalError):
    """The stored configuration can't be read: HTTP 500, as in Go."""

    code = "stored_config_invalid"


def _none_if_zero(value_ns: int) -> int | None:
    return value_ns or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration, both Go methods' parameters; attribute names are the parameters'.

    In lists and maps None is a stored null, which old data may hold. Durations are nanoseconds, or
    None where they are not set. `extra` holds unknown stored members.
    """

    oidc_discovery_url: str = parameter(
        FieldType.STRING,
        RESET,
        "The issuer, exactly as it names itself, without any .well-known part: its "
        "discovery document says where its keys are. Not with 'jwks_url' or "
        "'jwt_validation_pubkeys'.",
    )
    oidc_discovery_ca_pem: str = parameter(
        FieldType.STRING,
        RESET,
        "CA certificates in PEM format, trusted instead of the system's for connections "
        "to the discovery URL.",
    )
    oidc_client_id: str = parameter(
        FieldType.STRING, RESET, "The OAuth client id at the OIDC provider."
    )
    oidc_client_secret: str = parameter(
        FieldType.STRING,
        RESET,
        "The OAuth client secret at the OIDC provider; never read back.",
        sensitive=True,
    )
    oidc_response_mode: str = parameter(
        FieldType.STRING,
        RESET,
        "How the OIDC provider answers: 'query' or 'form_post'.",
        allowed_values=RESPONSE_MODES,
    )
    oidc_response_types: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "What to ask the OIDC provider for: 'code' (the default), 'id_token'.",
        allowed_values=RESPONSE_TYPES,
    )
    jwks_url: str = parameter(
        FieldType.STRING,
        RESET,
        "URL of the JSON Web Key Set that signatures are checked with. Not with "
        "'oidc_discovery_url' or 'jwt_validation_pubkeys'.",
    )
    jwks_ca_pem: str = parameter(
        FieldType.STRING,
        RESET,
        "CA certificates in PEM format, trusted instead of the system's for connections "
        "to the JWKS URL.",
    )
    jwks_pairs: tuple[Any, ...] | None = parameter(
        FieldType.LIST,
        RESET,
        "List of objects with 'jwks_url' and 'jwks_ca_pem', for several key sets. Tokens must "
        "name their key (kid) then, and 'bound_issuer' can't be set.",
        hosts=VAULT_ONLY,
        display_edit_type="json",
    )
    jwt_validation_pubkeys: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "Public keys or certificates in PEM format, one per list element, that signatures "
        "are checked with. Not with 'jwks_url' or 'oidc_discovery_url'.",
    )
    jwt_supported_algs: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "Signature algorithms that are accepted: RS, ES or PS with 256, 384 or 512, and "
        "EdDSA. Empty: all ten for logins with a token.",
    )
    bound_issuer: str = parameter(
        FieldType.STRING, RESET, "The 'iss' claim that every token must carry."
    )
    default_role: str = parameter(
        FieldType.LOWER_STRING, RESET, "The role of a login that names none."
    )
    provider_config: Mapping[str, Any] | None = parameter(
        FieldType.MAP,
        RESET,
        "Settings for one provider's own features; 'provider' names it.",
        display_name="Provider Config",
        show_in_repr=False,
        show=readable_settings,
    )
    namespace_in_state: bool = parameter(
        FieldType.BOOL,
        KEEP,
        "Carry the namespace of an OIDC login in the 'state' parameter instead of in the "
        "redirect URI. Kept when left out; true in a new configuration.",
        display_name="Namespace in OIDC state",
        display_value=True,
    )
    unsupported_critical_cert_extensions: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "OIDs of critical extensions that certificates of the servers whose keys are fetched "
        "may have, though they are not understood.",
        hosts=VAULT_ONLY,
    )
    override_allowed_server_names: tuple[str, ...] | None = parameter(
        FieldType.COMMA_STRINGS,
        RESET,
        "Host names and addresses that the certificates of the servers whose keys are fetched "
        "may carry instead of the URL's host.",
        hosts=OPENBAO_ONLY,
    )
    jwks_refresh_after: int | None = parameter(
        FieldType.DURATION,
        KEEP,
        "Age at which fetched keys are fetched anew, in the background: 1h unless set; the "
        "server of the keys can lower it with max-age. Kept when left out; 0 unsets it. "
        "An addition of this plugin.",
        hosts=OURS,
        parse=_none_if_zero,
        stored_if=bool,
    )
    jwks_trust_for: int | None = parameter(
        FieldType.DURATION,
        KEEP,
        "How long fetched keys are trusted when they can't be fetched anew, also over a "
        "restart: 24h unless set, 0 is for ever. Kept when left out. An addition of this "
        "plugin.",
        hosts=OURS,
    )
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_stored(cls, raw: bytes) -> Config:
        """Decode a stored configuration of either Go method or of ours.

        Public keys are not parsed here, so that an operator can still read a configuration with an
        invalid key.

        Raises:
            StoredConfigError: it is not a JSON object, or a member has a wrong type.
        """
        try:
            return parameters.from_stored(cls, jsonutil.loads(raw))
        except (jsonutil.JSONError, parameters.StoredFormError) as error:
            raise StoredConfigError(f"stored config: {error}") from None

    @classmethod
    def from_request(cls, data: FieldData, stored: Config | None) -> Config:
        """Return the configuration that a write makes; unknown stored members are kept."""
        return replace(stored or _NEW, **parameters.changes(cls, data))

    def to_stored(self) -> bytes:
        """Encode for storage, with the unknown members."""
        return parameters.to_stored(self)

    def read_data(self) -> dict[str, Any]:
        """Return the answer of a read, without the secrets of client and provider.

        A list that was stored as null, or by a method that does not have it, is an empty list, as
        in both Go methods after a write.
        """
        data = parameters.read_back(self)
        return data | {name: [] for name in _LISTS if name in data and data[name] is None}

    def trust(self, ca_pem: str) -> Trust:
        """Return the conditions for servers' certificates; `ca_pem` "" means the system's CAs."""
        return Trust(
            ca_pem=ca_pem,
            server_names=self.override_allowed_server_names or (),
            critical_extensions=self.unsupported_critical_cert_extensions or (),
        )


_NEW = Config(namespace_in_state=True)
"""The start of the first write; an old configuration without the member has false."""

_LISTS = tuple(
    each.name
    for each in fields_of(Config)
    if each.type in {FieldType.COMMA_STRINGS, FieldType.LIST}
)

SKIP_JWKS_VALIDATION = Field(
    name="skip_jwks_validation",
    type=FieldType.BOOL,
    description="Store the configuration though its keys can't be fetched; not stored itself.",
    hosts=OPENBAO_ONLY,
)

CONFIG_FIELDS = tuple(
    sorted((*fields_of(Config), SKIP_JWKS_VALIDATION), key=lambda each: each.hosts == OURS)
)
"""Every parameter of `config`; our additions come last."""


def listed(names: Iterable[str]) -> str:
    """Return names in quotes, as a sentence lists them: `'a', 'b' and 'c'`."""
    shown = [f"'{name}'" for name in names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""
