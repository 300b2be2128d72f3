"""All targets by name. Imported one by one, since some take a second to load."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def seeds(name: str) -> dict[str, bytes]:
    """A target's seeds by file name."""
    folder = SEEDS / name
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def write_seeds(name: str) -> Iterator[Path]:
    """Write the seeds that a target's examples make, but those that are there; what was written.

    Those whose bytes differ from run to run (certificates) stay what they were first.
    """
    folder = SEEDS / name
    folder.mkdir(parents=True, exist_ok=True)
    for example, data in load(name).examples().items():
        path = folder / example
        if not path.exists():
            path.write_bytes(data)
            yield path


def digest(data: bytes) -> str:
    """The name of an input that has no other."""
    return hashlib.sha256(data).hexdigest()[:16]
