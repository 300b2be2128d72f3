"""Config: every accepted form, every refused one, and what reads back."""

from __future__ import annotations

from typing import Any

from tests.differential.steps import (
    STATIC,
    Call,
    Case,
    Login,
    config,
    configs,
    delete,
    demo,
    listing,
    read,
    story,
)

KEY: dict[str, Any] = {"jwt_validation_pubkeys": "$pem:rsa"}
CLIENT = {"oidc_client_id": "id", "oidc_client_secret": "hush"}
ISSUER = {"oidc_discovery_url": "$http/plain"}
VAULT, BAO = ("vault",), ("bao",)


RESPONSES: dict[str, dict[str, Any]] = {
    "mode-query": {"oidc_response_mode": "query"},
    "mode-form-post": {"oidc_response_mode": "form_post"},
    "mode-capitals": {"oidc_response_mode": "Form_Post"},
    "mode-number": {"oidc_response_mode": 1},
    "types-code": {"oidc_response_types": "code"},
    "types-both-query": {"oidc_response_types": "code,id_token"},
    "types-both-form-post": {
        "oidc_response_types": ["code", "id_token"],
        "oidc_response_mode": "form_post",
    },
    "types-id-token": {"oidc_response_types": "id_token"},
    "types-id-token-form-post": {
        "oidc_response_types": "id_token",
        "oidc_response_mode": "form_post",
    },
    "types-empty-element": {"oidc_response_types": [""]},
    "types-repeated": {"oidc_response_types": "code,code"},
    "types-wrong-with-wrong-mode": {
        "oidc_response_types": "token",
        "oidc_response_mode": "x",
    },
}


def pairs(name: str, *elements: Any, **more: Any) -> Case:
    """A config of several key sets, which Vault's method alone knows."""
    return configs(f"pairs-{name}", {"jwks_pairs": list(elements)} | more, families=VAULT)


def pair_logins(name: str, elements: list[Any], *attempts: Login) -> Case:
    """Logins where keys come from several sets."""
    return story(
        f"login-pairs-{name}", config(jwks_pairs=elements), demo(), *attempts, families=VAULT
    )


def skips(name: str, data: dict[str, Any]) -> Case:
    """A config that is stored though its keys can't be fetched: OpenBao's method alone."""
    return configs(f"skip-{name}", data | {"skip_jwks_validation": True}, families=BAO)


JWKS: dict[str, Any] = {"jwks_url": "$http/jwks"}
HTTPS: dict[str, Any] = {"jwks_url": "$https/jwks", "jwks_ca_pem": "$ca"}
OTHER: dict[str, Any] = {"jwks_url": "$http/jwks-same-kid"}
DEAD: dict[str, Any] = {"jwks_url": "$dead/jwks"}

_PAIRS: tuple[Case, ...] = (
    pairs("one", JWKS),
    pairs("two", JWKS, HTTPS),
    pairs("twice-the-same", JWKS, JWKS),
    pairs("empty-ca", JWKS | {"jwks_ca_pem": ""}),
    pairs("null-ca", JWKS | {"jwks_ca_pem": None}),
    pairs("members-in-capitals", {"JWKS_URL": "$https/jwks", "Jwks_Ca_Pem": "$ca"}),
    pairs("more-members", JWKS | {"kid": ["x"], "n": 1}),
    pairs("no-url", {"jwks_ca_pem": "$ca"}),
    pairs("null-url", {"jwks_url": None}),
    pairs("number-url", {"jwks_url": 5}),
    pairs("list-ca", JWKS | {"jwks_ca_pem": ["$ca"]}),
    pairs("text", "$http/jwks"),
    pairs("number", 5),
    pairs("null-element", None),
    pairs("second-is-text", JWKS, "$http/jwks"),
    pairs("none"),
    pairs("https-no-ca", {"jwks_url": "$https/jwks"}),
    pairs("https-wrong-ca", HTTPS | {"jwks_ca_pem": "$other-ca"}),
    pairs("bad-ca", HTTPS | {"jwks_ca_pem": "garbage"}),
    pairs("down", DEAD),
    pairs("one-down", JWKS, DEAD),
    pairs("no-keys-member", {"jwks_url": "$http/jwks-no-member"}),
    pairs("empty-set", {"jwks_url": "$http/jwks-empty"}),
    pairs("with-ca-pem", JWKS, jwks_ca_pem="$ca"),
    pairs("with-bound-issuer", JWKS, bound_issuer="x"),
    pairs("with-jwks-url", JWKS, **JWKS),
    pairs("with-keys", JWKS, **KEY),
    pairs("with-discovery", JWKS, **ISSUER),
    pairs("with-client", JWKS, **CLIENT),
    pairs("with-bad-algs", JWKS, jwt_supported_algs="none"),
    configs("pairs-bare-object", {"jwks_pairs": JWKS}, families=VAULT),
    configs("pairs-as-text", {"jwks_pairs": "$http/jwks"}, families=VAULT),
    configs("pairs-empty-text", KEY | {"jwks_pairs": ""}, families=VAULT),
    configs("pairs-null", KEY | {"jwks_pairs": None}, families=VAULT),
    configs("pairs-replaced", {"jwks_pairs": [JWKS]}, KEY, families=VAULT),
    pair_logins("first", [JWKS, OTHER], Login(header={"kid": "rsa"})),
    pair_logins("second", [OTHER, JWKS], Login(header={"kid": "rsa"})),
    pair_logins("same-kid", [OTHER, JWKS], Login(header={"kid": "x"})),
    pair_logins("unknown-kid", [JWKS, OTHER], Login(header={"kid": "nobody"})),
    pair_logins("wrong-key", [JWKS, OTHER], Login(header={"kid": "rsa"}, key="rsa-other")),
    pair_logins("no-kid", [JWKS], Login()),
)

_CLIENT: tuple[Case, ...] = (
    configs("client", ISSUER | CLIENT),
    configs("client-https", CLIENT | {"oidc_discovery_url": "$https/plain"}),
    configs(
        "client-https-ca",
        CLIENT | {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$ca"},
    ),
    configs(
        "client-bad-ca",
        CLIENT | {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "garbage"},
    ),
    configs("client-down", CLIENT | {"oidc_discovery_url": "$dead"}),
    configs("client-wrong-issuer", CLIENT | {"oidc_discovery_url": "$http/wrong-issuer"}),
    configs("client-slash-added", CLIENT | {"oidc_discovery_url": "$http/plain/"}),
    configs("client-ftp", CLIENT | {"oidc_discovery_url": "ftp://127.0.0.1/plain"}),
    configs("client-bad-algs", ISSUER | CLIENT | {"jwt_supported_algs": "HS256"}),
    configs("client-algs", ISSUER | CLIENT | {"jwt_supported_algs": "ES256,RS256"}),
    configs("client-with-jwks", JWKS | CLIENT),
    configs("client-secret-forgotten", ISSUER | CLIENT, ISSUER | {"oidc_client_id": "id"}),
    configs("client-dropped", ISSUER | CLIENT, ISSUER),
    configs("client-bound-issuer", ISSUER | CLIENT | {"bound_issuer": "x"}),
    *(configs(f"response-{name}", {**KEY, **parameters}) for name, parameters in RESPONSES.items()),
    configs("response-with-client", ISSUER | CLIENT | {"oidc_response_mode": "form_post"}),
    story(
        "login-oidc-flow",
        config(**ISSUER, **CLIENT),
        demo(),
        Login(header={"kid": "rsa"}),
        Login(key="rsa-other"),
    ),
)

_SKIP: tuple[Case, ...] = (
    skips("jwks", JWKS),
    skips("jwks-down", DEAD),
    skips("jwks-404", {"jwks_url": "$http/nowhere"}),
    skips("jwks-no-ca", {"jwks_url": "$https/jwks"}),
    skips("jwks-bad-ca", HTTPS | {"jwks_ca_pem": "garbage"}),
    skips("jwks-down-bad-algs", DEAD | {"jwt_supported_algs": "none"}),
    skips("jwks-down-bad-mode", DEAD | {"oidc_response_mode": "x"}),
    skips("discovery", ISSUER),
    skips("discovery-down", {"oidc_discovery_url": "$dead"}),
    skips("discovery-wrong-issuer", {"oidc_discovery_url": "$http/wrong-issuer"}),
    skips(
        "discovery-bad-ca",
        {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "garbage"},
    ),
    skips(
        "discovery-well-known",
        {"oidc_discovery_url": "$http/plain/.well-known/openid-configuration"},
    ),
    skips("client-down", CLIENT | {"oidc_discovery_url": "$dead"}),
    skips(
        "client-down-bad-algs", CLIENT | {"oidc_discovery_url": "$dead", "jwt_supported_algs": "x"}
    ),
    skips("static", KEY),
    skips("static-garbage", {"jwt_validation_pubkeys": "garbage"}),
    skips("two-sources", KEY | DEAD),
    configs("skip-false", DEAD | {"skip_jwks_validation": False}, families=BAO),
    configs("skip-text", KEY | {"skip_jwks_validation": "maybe"}, families=BAO),
    story(
        "skip-then-login",
        config(**DEAD, skip_jwks_validation=True),
        demo(),
        Login(header={"kid": "rsa"}),
        config(**JWKS),
        Login(header={"kid": "rsa"}),
        families=BAO,
    ),
)

_TRUST: tuple[Case, ...] = (
    *(
        configs(
            f"oids-{name}",
            {**source, "unsupported_critical_cert_extensions": oids},
            families=VAULT,
        )
        for name, source, oids in (
            ("static", KEY, "1.2.3, 2.5.29.16"),
            ("list", KEY, ["1.2.3", "2.5.29.16"]),
            ("empty", KEY, ""),
            ("jwks", JWKS, "1.2.3"),
            ("discovery", ISSUER, "1.2.3"),
            ("client", ISSUER | CLIENT, "1.2.3"),
            ("static-bad", KEY, "1.2.x"),
            ("discovery-bad", ISSUER, "1.2.x"),
            ("client-bad", ISSUER | CLIENT, "1.2.x"),
            ("client-empty-element", ISSUER | CLIENT, ["1.2.3", ""]),
            ("client-number", ISSUER | CLIENT, 12),
            ("object", KEY, {"a": 1}),
        )
    ),
    *(
        configs(f"names-{name}", {**source, "override_allowed_server_names": names}, families=BAO)
        for name, source, names in (
            ("static", KEY, "a.example, b.example"),
            ("list", KEY, ["a.example", "10.0.0.1"]),
            ("empty", KEY, ""),
            ("jwks", JWKS, "a.example"),
            ("https", HTTPS, "a.example"),
            (
                "https-discovery",
                {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$ca"},
                "a.example",
            ),
            ("empty-element", KEY, ["a.example", ""]),
            ("object", KEY, {"a": 1}),
        )
    ),
)

_REST: tuple[Case, ...] = (
    # Static keys: a PEM's label does not matter, its content does.
    configs("static-rsa", KEY),
    configs("static-ec", {"jwt_validation_pubkeys": "$pem:ec256"}),
    configs("static-ed25519", {"jwt_validation_pubkeys": "$pem:ed"}),
    configs("static-certificate", {"jwt_validation_pubkeys": "$cert:rsa"}),
    configs("static-expired-certificate", {"jwt_validation_pubkeys": "$expired:rsa"}),
    configs("static-list", {"jwt_validation_pubkeys": ["$pem:rsa", "$pem:ec384", "$pem:ec521"]}),
    configs("static-comma-text", {"jwt_validation_pubkeys": "$comma"}),
    configs("static-text-before-the-pem", {"jwt_validation_pubkeys": "$led:rsa"}),
    configs("static-two-pems-in-one", {"jwt_validation_pubkeys": "$two"}),
    configs("static-pkcs1", {"jwt_validation_pubkeys": "$pkcs1:rsa"}),
    configs("static-garbage", {"jwt_validation_pubkeys": "garbage"}),
    configs("static-one-good-one-bad", {"jwt_validation_pubkeys": ["$pem:rsa", "garbage"]}),
    configs("static-empty-text", {"jwt_validation_pubkeys": ""}),
    configs("static-empty-list", {"jwt_validation_pubkeys": []}),
    configs("static-empty-element", {"jwt_validation_pubkeys": [""]}),
    configs("static-number", {"jwt_validation_pubkeys": 5}),
    configs("static-object", {"jwt_validation_pubkeys": {"a": "b"}}),
    configs("static-null", {"jwt_validation_pubkeys": None}),
    # Exactly one key source.
    configs("nothing", {}),
    configs("two-sources-static-jwks", KEY | {"jwks_url": "$http/jwks"}),
    configs("two-sources-static-discovery", KEY | {"oidc_discovery_url": "$http/plain"}),
    configs(
        "two-sources-jwks-discovery",
        {"jwks_url": "$http/jwks", "oidc_discovery_url": "$http/plain"},
    ),
    configs("three-sources", KEY | {"jwks_url": "$http/jwks", "oidc_discovery_url": "$http/x"}),
    # JWKS URLs.
    configs("jwks-http", {"jwks_url": "$http/jwks"}),
    configs("jwks-https", {"jwks_url": "$https/jwks", "jwks_ca_pem": "$ca"}),
    configs("jwks-https-no-ca", {"jwks_url": "$https/jwks"}),
    configs("jwks-https-wrong-ca", {"jwks_url": "$https/jwks", "jwks_ca_pem": "$other-ca"}),
    configs("jwks-bad-ca", {"jwks_url": "$https/jwks", "jwks_ca_pem": "garbage"}),
    configs("jwks-404", {"jwks_url": "$http/nowhere"}),
    configs("jwks-500", {"jwks_url": "$http/error"}),
    configs("jwks-html", {"jwks_url": "$http/html"}),
    configs("jwks-down", {"jwks_url": "$dead/jwks"}),
    configs("jwks-empty-set", {"jwks_url": "$http/jwks-empty"}),
    configs("jwks-no-keys-member", {"jwks_url": "$http/jwks-no-member"}),
    configs("jwks-list", {"jwks_url": "$http/jwks-list"}),
    configs("jwks-not-a-url", {"jwks_url": "not a url"}),
    configs("jwks-ftp", {"jwks_url": "ftp://127.0.0.1/jwks"}),
    configs("jwks-ca-without-url", KEY | {"jwks_ca_pem": "$ca"}),
    configs("jwks-bad-ca-without-url", KEY | {"jwks_ca_pem": "garbage"}),
    # Discovery: the URL is the issuer's name, byte for byte.
    configs("discovery", {"oidc_discovery_url": "$http/plain"}),
    configs("discovery-trailing-slash", {"oidc_discovery_url": "$http/slash/"}),
    configs("discovery-slash-missing", {"oidc_discovery_url": "$http/slash"}),
    configs("discovery-slash-added", {"oidc_discovery_url": "$http/plain/"}),
    configs(
        "discovery-https",
        {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$ca"},
    ),
    configs("discovery-https-no-ca", {"oidc_discovery_url": "$https/plain"}),
    configs(
        "discovery-https-wrong-ca",
        {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "$other-ca"},
    ),
    configs(
        "discovery-bad-ca",
        {"oidc_discovery_url": "$https/plain", "oidc_discovery_ca_pem": "garbage"},
    ),
    configs("discovery-404", {"oidc_discovery_url": "$http/nowhere"}),
    configs("discovery-html", {"oidc_discovery_url": "$http/html-issuer"}),
    configs("discovery-wrong-issuer", {"oidc_discovery_url": "$http/wrong-issuer"}),
    configs("discovery-no-jwks-uri", {"oidc_discovery_url": "$http/no-jwks"}),
    configs("discovery-down", {"oidc_discovery_url": "$dead"}),
    configs(
        "discovery-well-known",
        {"oidc_discovery_url": "$http/plain/.well-known/openid-configuration"},
    ),
    configs("client-id-alone", KEY | {"oidc_client_id": "id"}),
    configs("client-secret-alone", KEY | {"oidc_client_secret": "secret"}),
    configs("client-without-discovery", KEY | {"oidc_client_id": "i", "oidc_client_secret": "s"}),
    # The rest.
    configs("algs-list", KEY | {"jwt_supported_algs": ["RS256", "ES512", "EdDSA"]}),
    configs("algs-text", KEY | {"jwt_supported_algs": "RS256, PS384"}),
    configs("algs-empty", KEY | {"jwt_supported_algs": ""}),
    configs("algs-hmac", KEY | {"jwt_supported_algs": "HS256"}),
    configs("algs-none", KEY | {"jwt_supported_algs": "none"}),
    configs("algs-case", KEY | {"jwt_supported_algs": "rs256"}),
    configs("algs-number", KEY | {"jwt_supported_algs": 256}),
    configs("bound-issuer", KEY | {"bound_issuer": "https://issuer.example/"}),
    configs("bound-issuer-number", KEY | {"bound_issuer": 42}),
    configs("bound-issuer-bool", KEY | {"bound_issuer": True}),
    configs("bound-issuer-list", KEY | {"bound_issuer": ["a"]}),
    configs("bound-issuer-null", KEY | {"bound_issuer": None}),
    configs("default-role-lowercased", KEY | {"default_role": "DeMo"}),
    configs("default-role-object", KEY | {"default_role": {"a": 1}}),
    configs("response-mode-unknown", KEY | {"oidc_response_mode": "fragment"}),
    configs("response-types-unknown", KEY | {"oidc_response_types": "token"}),
    configs("provider-config-empty", KEY | {"provider_config": {}}),
    configs("provider-config-text", KEY | {"provider_config": "azure"}),
    configs("provider-config-unknown", KEY | {"provider_config": {"provider": "nobody"}}),
    configs("provider-config-nameless", KEY | {"provider_config": {"x": "y"}}),
    configs("namespace-in-state-text", KEY | {"namespace_in_state": "maybe"}),
    configs("unknown-parameter", KEY | {"jwt_validation_pubkey": "x"}),
    configs(
        "a-write-replaces-everything",
        KEY | {"bound_issuer": "a", "default_role": "b", "jwt_supported_algs": "RS256"},
        {"jwks_url": "$http/jwks"},
    ),
    configs("a-refused-write-changes-nothing", KEY | {"bound_issuer": "a"}, {"jwks_url": "$dead"}),
    story("config-absent", read("config")),
    story("config-delete", STATIC, delete("config"), read("config")),
    story("config-list", STATIC, listing("config")),
    story("config-no-body", Call(method="POST", path="config"), read("config")),
    story("config-put", Call(method="PUT", path="config", data=KEY), read("config")),
    story("config-not-json", Call(method="POST", path="config", body=b"{")),
    story("unknown-path", read("configuration"), config(), read("login"), listing("login")),
    story("config-and-role-are-apart", demo(), read("role/demo"), read("config")),
    # The one parameter that stays when it is left out.
    configs("namespace-new", KEY),
    configs("namespace-false", KEY | {"namespace_in_state": False}),
    configs("namespace-kept", KEY | {"namespace_in_state": False}, KEY),
    configs(
        "namespace-changed", KEY | {"namespace_in_state": False}, KEY | {"namespace_in_state": 1}
    ),
    configs(
        "namespace-null", KEY | {"namespace_in_state": False}, KEY | {"namespace_in_state": None}
    ),
    configs("namespace-empty-text", KEY | {"namespace_in_state": ""}),
    story(
        "config-patch",
        STATIC,
        Call(method="PATCH", path="config", data={"default_role": "x"}),
        read("config"),
    ),
)

CASES: tuple[Case, ...] = (*_REST, *_PAIRS, *_CLIENT, *_SKIP, *_TRUST)
