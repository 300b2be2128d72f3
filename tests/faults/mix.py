"""The requests of a large site: logins of many kinds, bad tokens, writes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.faults.world import AUDIENCE, role
from tests.hosts.load import Kind
from tests.hosts.tokens import make_jwt, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.hosts.plugin import Mount

LARGE_CLAIMS = 200
LARGE_BYTES = (58_000, 66_000)


def brief(**more: Any) -> dict[str, Any]:
    """A role with batch tokens: of others the host keeps each, 2,000 a second, in its memory."""
    return role(token_type="batch", token_ttl="5m", token_policies=["deploy"], **more)


def claims(**more: Any) -> dict[str, Any]:
    """What a token says; good for longer than any load."""
    now = int(time.time())
    return {"aud": AUDIENCE, "sub": "jeff", "iat": now, "exp": now + 7200} | more


def large_role() -> dict[str, Any]:
    """A role with two hundred bound claims."""
    bound = {f"claim{number}": [f"value {number}", "x"] for number in range(LARGE_CLAIMS)}
    return brief(bound_claims=bound)


def large_token() -> str:
    """A token of 60 KB that `large_role` lets in."""
    stated = {
        f"claim{number}": [f"value {number}", f"other {number}"] for number in range(LARGE_CLAIMS)
    }
    bulk = {f"member{number}": "x" * 80 for number in range(410)}
    jwt = make_jwt(claims(**stated, bulk=bulk))
    assert LARGE_BYTES[0] < len(jwt) < LARGE_BYTES[1]
    return jwt


def logins(
    mount: Mount, name: str, weight: int, sent: Iterable[tuple[str, str]], *, status: int = 200
) -> Kind:
    """Logins with each of these roles and tokens in turn, which must end with this status."""
    return Kind(
        name=name,
        weight=weight,
        path=f"/v1/auth/{mount.path}/login",
        bodies=[json.dumps({"role": name, "jwt": jwt}) for name, jwt in sent],
        expected=(status,),
    )


def writes(mount: Mount, path: str, weight: int, *sent: dict[str, Any]) -> Kind:
    """Writes of each of these in turn, as root."""
    return Kind(
        name=f"{mount.path}/{path}",
        weight=weight,
        path=f"/v1/auth/{mount.path}/{path}",
        bodies=[json.dumps(each) for each in sent],
        token=mount.client.token or "",
        expected=(200, 204),
    )


def plain(mount: Mount) -> list[Kind]:
    """One role, one key, one good token; writes the role `demo`."""
    mount.client.must("POST", f"auth/{mount.path}/role/demo", brief())
    return [logins(mount, "login", 1, [("demo", make_jwt(claims()))])]


def mixed(mount: Mount, fetched: Mount, issuer: dict[str, Any], roles: int) -> list[Kind]:
    """Of a thousand requests 900 are logins, 50 bad tokens and 50 writes.

    Args:
        mount: gets a key, the role `large` and as many others as `roles` says.
        fetched: gets `issuer` as its configuration, and the role `demo`.
        issuer: where the keys `rsa` and `ec256` can be fetched.
        roles: how many take turns.
    """
    must = mount.client.must
    names = [f"team-{number:05}-deploy" for number in range(roles)]
    static = {"jwt_validation_pubkeys": public_pem("rsa")}
    algorithms = {"jwt_supported_algs": ["RS256", "ES256"]}
    must("POST", f"auth/{mount.path}/config", static)
    must("POST", f"auth/{mount.path}/role/large", large_role())
    good = make_jwt(claims())
    for name in names:
        must("POST", f"auth/{mount.path}/role/{name}", brief())
        # A role in use is kept decoded, and counted: what that takes is no growth, however slowly
        # the load comes to it.
        assert mount.login(good, name).status == 200
    must("POST", f"auth/{fetched.path}/config", issuer)
    must("POST", f"auth/{fetched.path}/role/demo", brief())

    by_kid = {key: {"kid": key} for key in ("rsa", "ec256")}
    fetched_good = [
        ("demo", make_jwt(claims(), key="rsa", header=by_kid["rsa"])),
        ("demo", make_jwt(claims(), key="ec256", alg="ES256", header=by_kid["ec256"])),
    ]
    denied = {
        "malformed": (mount, names[0], "a.b.c"),
        "wrong signature": (mount, names[0], make_jwt(claims(), key="rsa-other")),
        "expired": (mount, names[1], make_jwt(claims(exp=int(time.time()) - 3600))),
        "wrong audience": (mount, names[2], make_jwt(claims(aud="other"))),
        "no such role": (mount, "nobody-made-this", good),
    }
    unknown_key = make_jwt(claims(), key="rsa-other", header={"kid": "unknown"})
    return [
        logins(mount, "many roles", 640, [(name, good) for name in names]),
        logins(fetched, "fetched keys", 250, fetched_good),
        logins(mount, "large", 10, [("large", large_token())]),
        *(
            logins(at, name, 9, [(role_name, jwt)], status=400)
            for name, (at, role_name, jwt) in denied.items()
        ),
        logins(fetched, "unknown key", 5, [("demo", unknown_key)], status=400),
        *(
            writes(mount, f"role/{name}", 8, brief(), brief(bound_subject="jeff"))
            for name in names[:3]
        ),
        writes(mount, "role/large", 4, large_role()),
        # Another one each time: nothing that was derived from the last can stay.
        writes(mount, "config", 10, static, static | algorithms),
        # The same again, as who describes his server in files does: the keys are fetched anew, and
        # logins wait for them. Were it another each time, a login that waits would begin anew, and
        # be refused in the end, rightly.
        writes(fetched, "config", 4, issuer),
        writes(fetched, "role/demo", 8, brief()),
    ]
