"""What the APIs of providers answer, and where we ask them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.fuzz import mutation
from tests.fuzz.answers import SECRET, WORDS, Answers, lines_of
from tests.fuzz.target import Target, check, run_async
from vault_jwt_plugin.jwt_auth.claims.paths import ClaimPath
from vault_jwt_plugin.jwt_auth.config.config import Config
from vault_jwt_plugin.jwt_auth.config.provider import build_provider
from vault_jwt_plugin.jwt_auth.errors import LoginDenied
from vault_jwt_plugin.jwt_auth.jose.jws import VerifiedClaims
from vault_jwt_plugin.jwt_auth.providers import (
    Checker,
    GroupsFetcher,
    ProviderError,
    ProviderLogin,
    UserInfoFetcher,
)
from vault_jwt_plugin.sdk import jsonutil

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS: tuple[Mapping[str, Any], ...] = (
    {"provider": "azure"},
    {"provider": "azure", "fetch_groups": True},
    {
        "provider": "okta",
        "org_url": "https://example.okta.com",
        "api_token": SECRET,
        "fetch_groups": True,
        "groups_cap": 1,
        "groups_filter": "^a|b$",
    },
    {"provider": "secureauth"},
    {"provider": "ibmisam"},
    {
        "provider": "gsuite",
        "fetch_groups": True,
        "fetch_user_info": True,
        "user_custom_schemas": "A,B",
        "groups_recurse_max_depth": 2,
    },
    {
        "provider": "gsuite",
        "impersonate_principal": "a@b.iam.gserviceaccount.com",
        "gsuite_admin_impersonate": "x@y",
        "fetch_groups": True,
        "domain": "y",
    },
)
_SECRET_TO = {
    "azure": {
        "graph.microsoft.com",
        "graph.microsoft.us",
        "dod-graph.microsoft.us",
        "microsoftgraph.chinacloudapi.cn",
    },
    "okta": {"example.okta.com"},
    "gsuite": {
        "admin.googleapis.com",
        "www.googleapis.com",
        "oauth2.googleapis.com",
        "iamcredentials.googleapis.com",
        "metadata.google.internal",
        "169.254.169.254",
    },
}
_LOGINS = (LoginDenied, ProviderError)


async def _ask_provider(data: bytes) -> None:
    """First byte: which settings; a line with the claims; a line for each answer."""
    settings = SETTINGS[(data[0] if data else 0) % len(SETTINGS)]
    lines = lines_of(data[1:])
    try:
        claims = jsonutil.loads_strict(lines[0])
    except jsonutil.StrictJSONError:
        return
    if not isinstance(claims, dict):
        return
    answers = Answers(lines[1:])
    provider = build_provider(Config(provider_config=settings), answers)
    login = ProviderLogin(
        claims=VerifiedClaims(claims),
        user_claim="sub",
        groups_claim=ClaimPath.of("groups"),
        access_token=SECRET,
    )
    await _use(provider, login)
    for request in answers.asked:
        host = urlsplit(request.url).hostname
        check(host in _SECRET_TO[str(settings["provider"])], f"{host} is asked")
        check("\n" not in repr(dict(request.headers)), "a header of two lines")


async def _use(provider: Any, login: ProviderLogin) -> None:
    try:
        if isinstance(provider, Checker):
            await provider.check()
        if isinstance(provider, UserInfoFetcher):
            info = await provider.fetch_user_info(login)
            check(set(info) <= {"A", "B"}, "claims come that nobody asked for")
        if isinstance(provider, GroupsFetcher):
            groups = await provider.fetch_groups(login)
            jsonutil.dumps(groups)
    except _LOGINS as error:
        check(SECRET not in error.message, "a secret is in a message")
        check(len(error.message) < 1000, "a message as long as the answer")


def _provider(data: bytes) -> None:
    run_async(_ask_provider(data))


def _provider_examples() -> dict[str, bytes]:
    def made(settings: int, claims: Any, *answers: Any) -> bytes:
        parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in answers]
        return bytes((settings,)) + b"\n".join((json.dumps(claims).encode(), *parts))

    def source(endpoint: str) -> dict[str, Any]:
        return {
            "sub": "me",
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": endpoint}},
        }

    okta = b'<https://example.okta.com/api/v1/x?after=1>; rel="next"\t'
    token = {"access_token": "t0ken", "expires_in": 3599, "token_type": "Bearer"}
    return {
        "azure-claim": made(0, {"sub": "me", "groups": ["a"]}),
        "azure-graph": made(
            0,
            source("https://graph.microsoft.com/v1.0/users/x/getMemberObjects"),
            {"value": ["a", "b"]},
        ),
        "azure-legacy": made(
            0, source("https://graph.windows.net/t/users/u/getMemberObjects?x=1"), {"value": []}
        ),
        "azure-elsewhere": made(
            0, source("https://graph.microsoft.com@attacker.example/"), {"value": []}
        ),
        "azure-always": made(1, {"sub": "me"}, {"value": [1]}),
        "okta-pages": made(
            2,
            {"sub": "a/../b"},
            okta + b'[{"profile":{"name":"ab"}}]',
            [{"profile": {"name": "x"}}, {}],
        ),
        "okta-elsewhere": made(
            2, {"sub": "me", "groups": ["a", "b"]}, b"<//attacker.example/>; rel=next\t[]"
        ),
        "okta-growing": made(2, {"sub": "me"}, b"<" + b"x" * 2000 + b"/a>; rel=next\t[]"),
        "okta-status": made(2, {"sub": "me"}, b"?401"),
        "secureauth": made(3, {"sub": "me", "groups": "a,b"}),
        "ibmisam": made(4, {"sub": "me", "groups": "a b"}),
        "gsuite": made(
            5,
            {"sub": "me"},
            token,
            {"customSchemas": {"A": {"x": 1}, "C": {}}},
            {"groups": [{"email": "g@x"}], "nextPageToken": "p"},
            {"groups": []},
        ),
        "gsuite-refused": made(
            5, {"sub": "me"}, token, b"?401", token, {"customSchemas": None}, {}
        ),
        "gsuite-impersonated": made(
            6,
            {"sub": "me"},
            token,
            {"signedJwt": "a.b.c"},
            token,
            {"groups": [{"email": "g@x"}, None]},
            {},
        ),
    }


TARGETS = (
    Target(
        name="provider",
        run=_provider,
        examples=_provider_examples,
        words=WORDS,
        mutate=mutation.documents,
    ),
)
