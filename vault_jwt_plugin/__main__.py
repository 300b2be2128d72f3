"""The program's entry point: it serves the host that started it, or explains itself to a person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vault_jwt_plugin._version import VERSION
from vault_jwt_plugin.serving import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vault_jwt_plugin.sdk.backend import Backend, BackendContext


def main(argv: Sequence[str] | None = None) -> int:
    """Run the JWT auth method's program.

    Args:
        argv: the arguments after the program's name; None means those of the process.

    Returns:
        The exit status.
    """
    return serve(_jwt_backend, version=f"v{VERSION}", argv=argv)


def _jwt_backend(context: BackendContext) -> Backend:
    # Imported here because the method imports the JOSE and HTTP libraries, and a start, a probe and
    # --help need not wait for them.
    from vault_jwt_plugin.host.messages import AuthMessages
    from vault_jwt_plugin.jwt_auth.backend import factory

    return factory(context, AuthMessages())


if __name__ == "__main__":
    sys.exit(main())
