"""What the actors of a run write, and what clients log in with: drawn from few values.

Few values make it likely that a change makes a difference to a login that is under way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.jwt_auth import tokens

if TYPE_CHECKING:
    from random import Random

    from tests.jwt_auth.login.race_history import History

URLS = ("https://a/keys", "https://b/keys")
KIDS = ("k0", "k1", "k2")
ROLES = ("one", "two")
PATHS = tuple(f"{kind}/{name}" for kind in ("role", "cel/role") for name in ROLES)
AUDIENCES = ("x", "y")
ISSUERS = ("i", "j")
TEAMS = ("red", "blue")
FLAGS = (1, True)
FOCUSES = ("rollout", "flip", "standby")
"""What a run may be about. Then little else happens that denies a login, or hides a wrong one:

    rollout  configuration and role are replaced one right after the other, and nothing is cached
    flip     a role changes between 1 and true while logins wait for keys
    standby  another node replaces what is cached here, and nobody tells
"""

POLICIES = "pb.Auth{{policies: {}, display_name: 'd', alias: logical.Alias{{name: claims.{}}}}}"

Written = tuple[str, dict[str, Any] | None]
"""A path and what is written there; None: it is deleted."""


@cache
def pem(kid: str) -> str:
    """Return the public key of an id."""
    text: str = tokens.public_pem(tokens.key_for("EdDSA", kid))
    return text.strip()


@cache
def signed(kid: str, claims: str) -> str:
    """Return a token."""
    key = tokens.key_for("EdDSA", kid)
    return tokens.token(claims.encode(), alg="EdDSA", key=key, header={"kid": kid})


@dataclass(frozen=True)
class Draft:
    """A login before it is sent."""

    path: str
    role: str
    kid: str
    claims: dict[str, Any]

    @property
    def jwt(self) -> str:
        """Its token."""
        return signed(self.kid, json.dumps(self.claims))


class Drafts:
    """Draws for one run."""

    def __init__(self, rng: Random, history: History) -> None:
        self._rng = rng
        self._history = history
        self.focus = rng.choice((*FOCUSES, "", "", ""))
        # In half of the runs all is about few roles, so that more happens to each.
        self.paths = PATHS if rng.random() < 0.5 else rng.sample(PATHS, rng.choice((1, 2)))
        if self.focus:
            self.paths = [rng.choice(PATHS[:2] if self.focus == "flip" else PATHS)]
        self._flips = self.focus == "flip" or rng.random() < 0.2
        self._written: list[tuple[str, dict[str, Any]]] = []
        self._serial = 0

    def login(self) -> Draft:
        """Return a login."""
        rng = self._rng
        kind, _, name = rng.choice(self.paths).rpartition("/")
        path = "cel/login" if kind == "cel/role" else "login"
        claims = {
            "iss": rng.choice((*ISSUERS, "i", "i")),
            "aud": rng.choice((*AUDIENCES, "x", "x")),
            "sub": "s",
            "uid": "u",
            "team": rng.choice((*TEAMS, TEAMS[0])),
            "admin": rng.choice(FLAGS),
            "iat": tokens.NOW,
            "exp": tokens.NOW + 86400,
        }
        if self.focus:
            claims |= {"iss": ISSUERS[0], "aud": AUDIENCES[0], "team": TEAMS[0]}
        size = rng.random()
        if size < 0.05 and path == "login":
            # So large that there may be no room for it to wait.
            claims["x"] = ["a" * 1000] * 70
        elif path == "cel/login" and size < 0.5:
            # So large that its program is evaluated in a thread.
            claims["x"] = ["a"] * 300
        role = "" if rng.random() < 0.15 else name
        return Draft(path=path, role=role, kid=rng.choice((*KIDS, KIDS[0])), claims=claims)

    def config(self) -> dict[str, Any]:
        """Return a configuration."""
        rng = self._rng
        if self.focus == "flip":
            return {"jwks_url": URLS[0], "skip_jwks_validation": True, "default_role": ROLES[0]}
        if self.focus:
            return {"jwt_validation_pubkeys": [pem(rng.choice(KIDS[:2]))]}
        data: dict[str, Any] = {
            "bound_issuer": rng.choice(("", "", "", "", *ISSUERS)),
            "default_role": rng.choice(("", *ROLES)),
            "skip_jwks_validation": rng.random() < 0.3,
        }
        if rng.random() < 0.35:
            kids = rng.sample(KIDS, rng.choice((1, 2)))
            return data | {"jwt_validation_pubkeys": [pem(kid) for kid in kids]}
        data["jwks_refresh_after"] = rng.choice((0, 10))
        return data | {"jwks_url": rng.choice((*URLS, URLS[0]))}

    def role(self, path: str) -> tuple[str, dict[str, Any]]:
        """Return a role for a path. Half of them say by their policies which one they are."""
        rng = self._rng
        self._serial += 1
        policies = [rng.choice(("p", f"p{self._serial}"))]
        audiences = rng.choice((["x"], ["x"], ["x", "y"], ["x", "y"], ["y"]))
        user_claim = rng.choice(("sub", "uid"))
        if self.focus:
            policies, audiences = [f"p{self._serial}"], [AUDIENCES[0]]
        if path.startswith("cel/"):
            team = TEAMS[0] if self.focus else rng.choice((*TEAMS, TEAMS[0]))
            expression = f"claims.team == '{team}' ? {POLICIES.format(policies, user_claim)} : 'no'"
            self._history.programs[expression] = (team, user_claim, policies)
            program = {"expression": expression}
            return path, {"cel_program": program, "bound_audiences": audiences}
        bound = {"admin": rng.choice(FLAGS)} if self._flips or rng.random() < 0.4 else {}
        return path, {
            "role_type": "jwt",
            "bound_audiences": audiences,
            "user_claim": user_claim,
            "policies": policies,
            "ttl": rng.choice((60, 60 + self._serial)),
            "bound_claims": bound,
        }

    def first(self) -> list[Written]:
        """Return what is written before clients come."""
        written: list[tuple[str, dict[str, Any]]] = [("config", self.config())]
        written += [self.role(path) for path in PATHS if self.focus or self._rng.random() < 0.95]
        self._written += written
        return list(written)

    def next(self, kind: str) -> Written:
        """Return a new write, one that was drawn before, or one that differs little from it."""
        rng = self._rng
        earlier = [each for each in self._written if (each[0] == "config") == (kind == "config")]
        draw = rng.random()
        if draw < 0.3:
            return rng.choice(earlier)
        if kind == "config":
            written: tuple[str, dict[str, Any]] = ("config", self.config())
        elif draw < 0.4:
            return rng.choice(self.paths), None
        elif draw < (0.9 if self._flips else 0.5):
            written = self._flipped(rng.choice(earlier))
        else:
            written = self.role(rng.choice(self.paths))
        self._written.append(written)
        return written

    def flip(self) -> Written:
        """Return the one role of a run, with nothing but 1 and true exchanged."""
        written = self._flipped((self.paths[0], {}))
        self._written.append(written)
        return written

    def elsewhere(self, key: str, earlier: list[dict[str, Any] | None]) -> bytes | None:
        """Return what another node stores: something new, what was there before, or nothing."""
        rng = self._rng
        value = earlier[-1] if self.focus else rng.choice(earlier)
        if value is None:
            value = None if key != "config" else earlier[-1]
        elif self.focus or rng.random() < 0.6:
            self._serial += 1
            if key != "config":
                audiences = (["x"], ["y"], ["x", "y"])
                value = value | {"bound_audiences": rng.choice(audiences)}
                if key.startswith("role/"):
                    value = value | {"token_policies": [f"p{self._serial}"]}
            elif value["jwks_url"]:
                value = value | {"jwks_url": rng.choice(URLS)}
            else:
                value = value | {"jwt_validation_pubkeys": [pem(rng.choice(KIDS))]}
        return None if value is None else json.dumps(value).encode()

    def _flipped(self, written: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Return it with nothing but 1 and true exchanged, which are equal to Python."""
        path = written[0]
        if path.startswith("cel/"):
            return written
        latest = [data for at, data in self._written if at == path][-1]
        flag = 1 if latest["bound_claims"].get("admin") is True else True
        return path, latest | {"bound_claims": {"admin": flag}}
