"""Why a plugin process does not serve.

::

    PluginError
    ├── StartError               the process ends before the handshake line, exit status 1
    │   ├── MagicCookieError     no host started us, or not as what we are
    │   ├── DatabaseProbeError   the host asks whether we are a database plugin
    │   ├── ContainerRuntimeError
    │   ├── ClientCertificateError
    │   └── SocketError          the Unix socket cannot be made as asked
    ├── ProtocolVersionError     answered with a handshake line, then exit status 1
    └── BrokerError              the host cannot be called back
"""

from __future__ import annotations

from typing import ClassVar


class PluginError(Exception):
    """Root of this layer's errors.

    Attributes:
        code: stable name of the class of fault.
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
    """The magic cookie is missing or another's: a person started the program.

    Attributes:
        wrong_value: whether the variable was set, to something else.
    """

    code = "magic_cookie"

    def __init__(self, message: str, *, wrong_value: bool) -> None:
        super().__init__(message)
        self.wrong_value = wrong_value


class DatabaseProbeError(StartError):
    """The host started us as a database plugin, to learn whether we are one."""

    code = "database_probe"


class ContainerRuntimeError(StartError):
    """The host runs us in a container and multiplexes with yamux, which we do not speak."""

    code = "container_runtime"


class ClientCertificateError(StartError):
    """`PLUGIN_CLIENT_CERT` is missing or is not one certificate."""

    code = "client_certificate"


class SocketError(StartError):
    """The Unix socket cannot be made where, or with the group that, was asked for."""

    code = "socket"


class ProtocolVersionError(PluginError):
    """The host offers no protocol version that we speak.

    Attributes:
        offered: the versions that the host listed, as it wrote them.
    """

    code = "protocol_version"

    def __init__(self, message: str, *, offered: str) -> None:
        super().__init__(message)
        self.offered = offered


class BrokerError(PluginError):
    """A brokered connection to the host could not be had.

    Attributes:
        service_id: the connection's number at the host's broker.
    """

    code = "broker"

    def __init__(self, message: str, *, service_id: int) -> None:
        super().__init__(message)
        self.service_id = service_id
