"""The reasons why a plugin process does not serve.

::

    PluginError
    ├── StartError               the process ends before the handshake line, exit status 1
    │   ├── MagicCookieError     no host started the program, or the cookie is not ours
    │   ├── DatabaseProbeError   the host asks whether this is a database plugin
    │   ├── ContainerRuntimeError
    │   ├── ClientCertificateError
    │   └── SocketError          the Unix socket cannot be made as requested
    ├── ProtocolVersionError     answered with a handshake line, then exit status 1
    └── BrokerError              the host cannot be called back
"""

from __future__ import annotations

from typing import ClassVar


class PluginError(Exception):
    """The root of this package's errors.

    Attributes:
        code: stable name of the kind of error.
        message: the text for the operator, without a full stop or newline at its end.
    """

    code: ClassVar[str] = "plugin_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class StartError(PluginError):
    """The process cannot serve; nothing was written to stdout."""

    code = "start_error"


class MagicCookieError(StartError):
    """The magic cookie is missing or wrong: a person started the program.

    Attributes:
        wrong_value: whether the variable is set, but to something else.
    """

    code = "magic_cookie"

    def __init__(self, message: str, *, wrong_value: bool) -> None:
        super().__init__(message)
        self.wrong_value = wrong_value


class DatabaseProbeError(StartError):
    """The host started the program as a database plugin, to find out whether it is one."""

    code = "database_probe"


class ContainerRuntimeError(StartError):
    """The host runs the plugin in a container and multiplexes with yamux: not supported."""

    code = "container_runtime"


class ClientCertificateError(StartError):
    """`PLUGIN_CLIENT_CERT` is missing, or is not exactly one certificate."""

    code = "client_certificate"


class SocketError(StartError):
    """The Unix socket cannot be made in the requested folder or with the requested group."""

    code = "socket"


class ProtocolVersionError(PluginError):
    """The host offers no protocol version that this plugin supports.

    Attributes:
        offered: the versions that the host listed, as it wrote them.
    """

    code = "protocol_version"

    def __init__(self, message: str, *, offered: str) -> None:
        super().__init__(message)
        self.offered = offered


class BrokerError(PluginError):
    """The plugin could not open a brokered connection to the host.

    Attributes:
        service_id: the connection's number at the host's broker.
    """

    code = "broker"

    def __init__(self, message: str, *, service_id: int) -> None:
        super().__init__(message)
        self.service_id = service_id
