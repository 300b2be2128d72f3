"""The mount's configuration: where keys come from, and what every token must have.

The stored form is the Go methods' own (`jwtConfig` in `path_config.go` of both).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.providers import readable_settings
from vault_jwt_plugin.sdk import (
    OPENBAO_ONLY,
    VAULT_ONLY,
    Field,
    FieldData,
    FieldError,
    FieldType,
    HostFamily,
    InternalError,
    jsonutil,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STORAGE_KEY = "config"

_NO_HOST: frozenset[HostFamily] = frozenset()

RESPONSE_MODES = ("query", "form_post")
RESPONSE_TYPES = ("code", "id_token")

CONFIG_FIELDS: tuple[Field, ...] = (
    Field(
        name="oidc_discovery_url",
        type=FieldType.STRING,
        description=(
            "The issuer, exactly as it names itself, without any .well-known part: its "
            "discovery document says where its keys are. Not with 'jwks_url' or "
            "'jwt_validation_pubkeys'."
        ),
    ),
    Field(
        name="oidc_discovery_ca_pem",
        type=FieldType.STRING,
        description=(
            "CA certificates in PEM format, trusted instead of the system's for connections "
            "to the discovery URL."
        ),
    ),
    Field(
        name="oidc_client_id",
        type=FieldType.STRING,
        description="The OAuth client id at the OIDC provider.",
    ),
    Field(
        name="oidc_client_secret",
        type=FieldType.STRING,
        description="The OAuth client secret at the OIDC provider; never read back.",
        sensitive=True,
    ),
    Field(
        name="oidc_response_mode",
        type=FieldType.STRING,
        description="How the OIDC provider answers: 'query' or 'form_post'.",
        allowed_values=RESPONSE_MODES,
    ),
    Field(
        name="oidc_response_types",
        type=FieldType.COMMA_STRINGS,
        description="What to ask the OIDC provider for: 'code' (the default), 'id_token'.",
        allowed_values=RESPONSE_TYPES,
    ),
    Field(
        name="jwks_url",
        type=FieldType.STRING,
        description=(
            "URL of the JSON Web Key Set that signatures are checked with. Not with "
            "'oidc_discovery_url' or 'jwt_validation_pubkeys'."
        ),
    ),
    Field(
        name="jwks_ca_pem",
        type=FieldType.STRING,
        description=(
            "CA certificates in PEM format, trusted instead of the system's for connections "
            "to the JWKS URL."
        ),
    ),
    Field(
        name="jwks_pairs",
        type=FieldType.LIST,
        description=(
            "List of objects with 'jwks_url' and 'jwks_ca_pem', for several key sets. Tokens must "
            "name their key (kid) then, and 'bound_issuer' can't be set."
        ),
        hosts=VAULT_ONLY,
    ),
    Field(
        name="jwt_validation_pubkeys",
        type=FieldType.COMMA_STRINGS,
        description=(
            "Public keys or certificates in PEM format, one per list element, that signatures "
            "are checked with. Not with 'jwks_url' or 'oidc_discovery_url'."
        ),
    ),
    Field(
        name="jwt_supported_algs",
        type=FieldType.COMMA_STRINGS,
        description=(
            "Signature algorithms that are accepted: RS, ES or PS with 256, 384 or 512, and "
            "EdDSA. Empty: all ten for logins with a token."
        ),
    ),
    Field(
        name="bound_issuer",
        type=FieldType.STRING,
        description="The 'iss' claim that every token must carry.",
    ),
    Field(
        name="default_role",
        type=FieldType.LOWER_STRING,
        description="The role of a login that names none.",
    ),
    Field(
        name="provider_config",
        type=FieldType.MAP,
        description="Settings for one provider's own features; 'provider' names it.",
        display_name="Provider Config",
    ),
    Field(
        name="namespace_in_state",
        type=FieldType.BOOL,
        description=(
            "Carry the namespace of an OIDC login in the 'state' parameter instead of in the "
            "redirect URI. Kept when left out; true in a new configuration."
        ),
        display_name="Namespace in OIDC state",
        display_value=True,
    ),
    Field(
        name="unsupported_critical_cert_extensions",
        type=FieldType.COMMA_STRINGS,
        description=(
            "OIDs of critical extensions that certificates of the servers whose keys are fetched "
            "may have, though they are not understood."
        ),
        hosts=VAULT_ONLY,
    ),
    Field(
        name="override_allowed_server_names",
        type=FieldType.COMMA_STRINGS,
        description=(
            "Host names and addresses that the certificates of the servers whose keys are fetched "
            "may carry instead of the URL's host."
        ),
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="skip_jwks_validation",
        type=FieldType.BOOL,
        description="Store the configuration though its keys can't be fetched; not stored itself.",
        hosts=OPENBAO_ONLY,
    ),
    Field(
        name="jwks_refresh_after",
        type=FieldType.DURATION,
        description=(
            "Age at which fetched keys are fetched anew, in the background: 1h unless set; the "
            "server of the keys can lower it with max-age. Kept when left out; 0 unsets it. "
            "An addition of this plugin."
        ),
        hosts=_NO_HOST,
    ),
    Field(
        name="jwks_trust_for",
        type=FieldType.DURATION,
        description=(
            "How long fetched keys are trusted when they can't be fetched anew, also over a "
            "restart: 24h unless set, 0 is for ever. Kept when left out. An addition of this "
            "plugin."
        ),
        hosts=_NO_HOST,
    ),
)
"""Every parameter of `config`."""

STORED_FIELDS = tuple(each for each in CONFIG_FIELDS if each.name != "skip_jwks_validation")

OWN_FIELDS = ("jwks_refresh_after", "jwks_trust_for")
"""Parameters that neither Go method has: stored and read back only once somebody set them, so that
a client that does not know them sees what it saw."""


class StoredConfigError(InternalError):
    """What is stored as the configuration can't be understood: HTTP 500, as in Go."""

    code = "stored_config_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration, both Go methods' parameters; attribute names are the parameters'.

    In lists and maps None is a stored null, which old data may hold. Durations are
    nanoseconds, None where they are not set. `extra` holds the stored members that are
    none of ours.
    """

    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_response_mode: str = ""
    oidc_response_types: tuple[str, ...] | None = None
    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwks_pairs: tuple[Any, ...] | None = None
    jwt_validation_pubkeys: tuple[str, ...] | None = None
    jwt_supported_algs: tuple[str, ...] | None = None
    bound_issuer: str = ""
    default_role: str = ""
    provider_config: Mapping[str, Any] | None = field(default=None, repr=False)
    namespace_in_state: bool = False
    unsupported_critical_cert_extensions: tuple[str, ...] | None = None
    override_allowed_server_names: tuple[str, ...] | None = None
    jwks_refresh_after: int | None = None
    jwks_trust_for: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_stored(cls, raw: bytes) -> Config:
        """Decode a stored configuration of either Go method or of ours.

        Public keys are not parsed here, so that one that we can't read does not
        keep an operator from reading the configuration and writing a better one.

        Raises:
            StoredConfigError: no JSON object, or a member of another kind than it should be.
        """
        try:
            members = jsonutil.loads(raw)
        except jsonutil.JSONError as error:
            raise StoredConfigError(f"stored config: {error}") from None
        if not isinstance(members, dict):
            raise StoredConfigError("stored config: no JSON object")
        values: dict[str, Any] = {}
        for declared in STORED_FIELDS:
            if declared.name not in members:
                continue
            if declared.name in OWN_FIELDS and members[declared.name] is None:
                # Not set; a null would be read as 0, which means something else.
                del members[declared.name]
                continue
            try:
                values[declared.name] = declared.from_stored(members.pop(declared.name))
            except FieldError as error:
                raise StoredConfigError(
                    f"stored config: {declared.name!r} should be {error.expected}, "
                    f"is {error.received}"
                ) from None
        return cls(**values, extra=members)

    @classmethod
    def from_request(cls, data: FieldData, stored: Config | None) -> Config:
        """What a write asks for: a full replacement of what is stored.

        Only `namespace_in_state` is kept when left out (true if nothing is stored), what
        is an addition of ours, and members that are none of ours.
        """
        values = {declared.name: data[declared.name] for declared in STORED_FIELDS}
        if "namespace_in_state" not in data:
            values["namespace_in_state"] = True if stored is None else stored.namespace_in_state
        for name in OWN_FIELDS:
            if name not in data:
                values[name] = None if stored is None else getattr(stored, name)
        values["jwks_refresh_after"] = values["jwks_refresh_after"] or None
        return cls(**values, extra={} if stored is None else stored.extra)

    def to_stored(self) -> bytes:
        """Encode for storage: every member, ours and unknown ones."""
        members: dict[str, Any] = {
            declared.name: declared.stored(getattr(self, declared.name))
            for declared in STORED_FIELDS
            if self._shows(declared.name)
        }
        members.update((name, self.extra[name]) for name in self.extra if name not in members)
        return jsonutil.dumps(members).encode()

    def read_data(self) -> dict[str, Any]:
        """What reading the configuration returns; no client secret, no provider's secrets."""
        data = {
            declared.name: declared.read(getattr(self, declared.name))
            for declared in STORED_FIELDS
            if not declared.sensitive and self._shows(declared.name)
        }
        data["provider_config"] = readable_settings(self.provider_config)
        return data

    def _shows(self, name: str) -> bool:
        return name not in OWN_FIELDS or getattr(self, name) is not None

    def trust(self, ca_pem: str) -> Trust:
        """What the servers must show that this configuration connects to.

        Args:
            ca_pem: the one configured for the server; "" means the system's.
        """
        return Trust(
            ca_pem=ca_pem,
            server_names=self.override_allowed_server_names or (),
            critical_extensions=self.unsupported_critical_cert_extensions or (),
        )


def listed(names: Iterable[str]) -> str:
    """Names in quotes, as a sentence lists them: `'a', 'b' and 'c'`."""
    shown = [f"'{name}'" for name in names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""
