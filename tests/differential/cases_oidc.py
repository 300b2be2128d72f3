"""The OIDC paths of a mount without an OIDC client."""

from __future__ import annotations

from tests.differential.steps import Call, Case, config

_KEY = config(jwt_validation_pubkeys=["$pem:rsa"])
_START = {"role": "demo", "redirect_uri": "http://localhost:8250/oidc/callback"}


def _asks(method: str, path: str, **data: str) -> Call:
    return Call(method=method, path=f"oidc/{path}", data=data or None)


CASES: tuple[Case, ...] = (
    Case(name="oidc-unconfigured", steps=(_asks("POST", "auth_url", **_START),)),
    *(
        Case(
            name=f"oidc-{name}",
            steps=(setup, _asks("POST", "auth_url", **_START), _asks("POST", "auth_url")),
        )
        for name, setup in (
            ("static", _KEY),
            ("jwks", config(jwks_url="$http/jwks")),
            ("discovery", config(oidc_discovery_url="$http/plain")),
        )
    ),
    Case(name="oidc-callback", steps=(_KEY, _asks("GET", "callback"))),
    Case(name="oidc-callback-post", steps=(_KEY, _asks("POST", "callback", state="s", code="c"))),
    Case(name="oidc-poll", steps=(_KEY, _asks("POST", "poll", state="s")), families=("bao",)),
)
