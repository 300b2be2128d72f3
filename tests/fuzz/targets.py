"""All targets by name. Imported one by one, since some take a second to load."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fuzz.target import Target

SEEDS = Path(__file__).parent / "seeds"

_MODULES = {
    "http2": ("http2_server", "http2_client", "hpack"),
    "grpc": ("grpc_server", "grpc_client"),
    "backend": ("backend",),
    "writes": ("config", "role", "cel_role"),
    "stored": ("stored_values",),
    "login": ("token_raw", "token_signed"),
    "documents": ("jwks", "discovery", "stored_keys"),
    "providers": ("provider",),
    "pem": ("pem",),
    "templates": ("policy_template",),
    "lines": ("lines",),
}
NAMES = tuple(name for names in _MODULES.values() for name in names)


def load(name: str) -> Target:
    """The target of this name."""
    module = next(module for module, names in _MODULES.items() if name in names)
    found: tuple[Target, ...] = import_module(f"tests.fuzz.{module}").TARGETS
    return next(target for target in found if target.name == name)


def seeds_file(name: str) -> Path:
    """A target's seeds: a JSON object of names and of inputs in base64, a line for each."""
    return SEEDS / f"{name}.json"


def seeds(name: str) -> dict[str, bytes]:
    """A target's seeds by name."""
    path = seeds_file(name)
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {seed: base64.b64decode(text) for seed, text in stored.items()}


def add_seeds(name: str, new: Mapping[str, bytes]) -> list[str]:
    """Add what is not yet among a target's seeds; return the names that were added."""
    known = seeds(name)
    added = sorted(new.keys() - known.keys())
    if added:
        merged = {**known, **{seed: new[seed] for seed in added}}
        stored = {seed: base64.b64encode(merged[seed]).decode() for seed in sorted(merged)}
        seeds_file(name).write_text(json.dumps(stored, indent=0) + "\n")
    return added


def write_seeds(name: str) -> list[str]:
    """Add the seeds that a target's examples make; return the names that were added.

    Those whose bytes differ from run to run (certificates) stay what they were first.
    """
    return add_seeds(name, load(name).examples())


def digest(data: bytes) -> str:
    """The name of an input that has no other."""
    return hashlib.sha256(data).hexdigest()[:16]
