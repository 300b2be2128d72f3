"""The `serve` function that a plugin's author calls from `main`; it connects backend and host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_jwt_plugin import goplugin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vault_jwt_plugin.sdk.backend import Backend, BackendContext


def serve(
    factory: Callable[[BackendContext], Backend],
    *,
    version: str,
    name: str = "vault-jwt-plugin",
    plugin_name: str = "jwt",
    summary: str = "the JWT auth method of HashiCorp Vault and OpenBao as an external plugin",
    argv: Sequence[str] | None = None,
) -> int:
    """Serve the backends that `factory` makes until the host ends the process.

    Args:
        factory: makes the backend of one mount during its Setup.
        version: canonical semantic version with `v`, as hosts and people see it: `v0.1.0`.
        name: the command, as people see it.
        plugin_name: the usual name in a host's catalog.
        summary: what the program is, a noun phrase for people.
        argv: the arguments after the program's name; None means those of the process.

    Returns:
        The exit status, if no host started the program; otherwise this does not return.
    """

    def make_plugin() -> goplugin.Plugin:
        # Imported here because a person who asks for --version, and a host that asks whether this
        # is a
        # database plugin, need not wait for protobuf.
        from vault_jwt_plugin.host import BackendPlugin

        return BackendPlugin(factory, version=version)

    program = goplugin.Program(
        name=name, version=version, summary=summary, plugin_type="auth", plugin_name=plugin_name
    )
    return goplugin.serve(make_plugin, program=program, argv=argv)
