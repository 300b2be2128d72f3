"""Key sources of configurations, made as a mount makes them."""

from __future__ import annotations

from typing import Any

from vault_jwt_plugin.jwt_auth.keys.kinds import KeySources


def build_key_source(
    config: Any, fetcher: Any, clock: Any, *, archive: Any = None, **settings: Any
) -> Any:
    """Make the key source of a configuration."""
    return KeySources(fetcher, clock, **settings).build(config, archive)
