"""The errors that a backend raises, and how the host answers each.

    LogicalError
    +-- UserError              400, the text is shown
    +-- InvalidRequest         400, the host's fixed text
    +-- PermissionDenied       403, the host's fixed text
    +-- UnsupportedOperation   405, the host's fixed text
    +-- UnsupportedPath        404, the host's fixed text
    +-- CodedError             the given status, the text is shown
    +-- InternalError          500, the text is shown
        +-- StorageError       a read-only node's text passes unchanged, so that
            |                  OpenBao forwards the request to the active node
            +-- ReadOnlyError

Any other exception that leaves a handler is a fault of the plugin: it is logged in full and
answered as a 500 with a generic text.
"""

from __future__ import annotations


class LogicalError(Exception):
    """The root of the errors that a backend may raise on purpose.

    Attributes:
        code: stable, machine-readable name of the failure; logged, never shown.
        message: the text for the caller.
    """

    code = "logical_error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UserError(LogicalError):
    """The caller's mistake: an error response with this text, HTTP 400."""

    code = "user_error"


class InvalidRequest(LogicalError):
    """HTTP 400 with the host's own text."""

    code = "invalid_request"


class PermissionDenied(LogicalError):
    """HTTP 403 with the host's own text; `message` is for the log only."""

    code = "permission_denied"


class UnsupportedOperation(LogicalError):
    """The path exists, but not the operation: HTTP 405."""

    code = "unsupported_operation"


class UnsupportedPath(LogicalError):
    """There is no such path: HTTP 404."""

    code = "unsupported_path"


class CodedError(LogicalError):
    """An error with the given HTTP status and text."""

    code = "coded_error"

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status


class InternalError(LogicalError):
    """A failure of plugin or host that the caller may know about: HTTP 500 with this text."""

    code = "internal_error"


class StorageError(InternalError):
    """The host's storage refused or failed; `message` is the host's own text."""

    code = "storage_error"


class ReadOnlyError(StorageError):
    """This node cannot write. OpenBao acts on the text, so pass it on unchanged."""

    code = "storage_read_only"
