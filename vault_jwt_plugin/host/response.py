"""Answers and errors in the host's wire format."""

from __future__ import annotations

import base64
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from vault_jwt_plugin.host.auth import fill_auth, unknown_fields
from vault_jwt_plugin.host.guard import harmless
from vault_jwt_plugin.pb import backend_pb2
from vault_jwt_plugin.sdk import jsonutil
from vault_jwt_plugin.sdk.errors import (
    CodedError,
    InvalidRequest,
    LogicalError,
    PermissionDenied,
    StorageError,
    UnsupportedOperation,
    UnsupportedPath,
    UserError,
)
from vault_jwt_plugin.sdk.request import Operation

if TYPE_CHECKING:
    from vault_jwt_plugin.sdk.request import RawResponse, Response

FAULT_TEXT = "internal error in the plugin; the server's log has the details"
"""The text that a caller gets for a fault of the plugin."""


class ErrorType(IntEnum):
    """`ProtoError.err_type` (`sdk/plugin/pb/translation.go`); 11 and above would mean success."""

    UNKNOWN = 0
    USER_ERROR = 1
    CODED_ERROR = 3
    UNSUPPORTED_OPERATION = 5
    UNSUPPORTED_PATH = 6
    INVALID_REQUEST = 7
    PERMISSION_DENIED = 8


# Errors whose text is fixed by the host: (type, the text that the Go plugin sends).
_FIXED: tuple[tuple[type[LogicalError], ErrorType, str], ...] = (
    (PermissionDenied, ErrorType.PERMISSION_DENIED, "permission denied"),
    (UnsupportedPath, ErrorType.UNSUPPORTED_PATH, "unsupported path"),
    (UnsupportedOperation, ErrorType.UNSUPPORTED_OPERATION, "unsupported operation"),
    (InvalidRequest, ErrorType.INVALID_REQUEST, "invalid request"),
)

# The host reads the answers to these without checking that there is one.
_NEEDS_ANSWER = frozenset((Operation.HELP, Operation.RESOLVE_ROLE, Operation.ALIAS_LOOKAHEAD))


class ResponseError(Exception):
    """A backend's answer that the wire format cannot express: a fault of the backend.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def error_to_pb(error: LogicalError) -> backend_pb2.ProtoError:
    """Convert an error for a reply's `err` field."""
    for kind, error_type, text in _FIXED:
        if isinstance(error, kind):
            return backend_pb2.ProtoError(err_type=error_type, err_msg=text)
    if isinstance(error, UserError):
        return backend_pb2.ProtoError(
            err_type=ErrorType.USER_ERROR, err_msg=harmless(error.message)
        )
    if isinstance(error, CodedError):
        return backend_pb2.ProtoError(
            err_type=ErrorType.CODED_ERROR, err_code=error.status, err_msg=harmless(error.message)
        )
    # Storage's texts come from the host, which acts on them.
    text = error.message if isinstance(error, StorageError) else harmless(error.message)
    return backend_pb2.ProtoError(err_type=ErrorType.UNKNOWN, err_msg=text or FAULT_TEXT)


def fault_to_pb() -> backend_pb2.ProtoError:
    """Return a fault of the plugin for a reply's `err` field."""
    return backend_pb2.ProtoError(err_type=ErrorType.UNKNOWN, err_msg=FAULT_TEXT)


def _reply(error: LogicalError) -> bytes:
    return backend_pb2.HandleRequestReply(err=error_to_pb(error)).SerializeToString()


UNSUPPORTED_OPERATION_REPLY = _reply(UnsupportedOperation())
FAULT_REPLY = backend_pb2.HandleRequestReply(err=fault_to_pb()).SerializeToString()
NO_CHECK_REPLY = b""
EXISTENCE_REPLIES = {
    exists: backend_pb2.HandleExistenceCheckReply(
        check_found=True, exists=exists
    ).SerializeToString()
    for exists in (False, True)
}
"""Existence check replies by answer."""


def error_reply(error: LogicalError) -> bytes:
    """Return a serialised `HandleRequestReply` for an error.

    A caller's mistake becomes an error response (400 with its text), any other error a reply error.
    """
    if isinstance(error, UserError):
        data = jsonutil.dumps({"error": harmless(error.message) or "invalid input"})
        return backend_pb2.HandleRequestReply(
            response=backend_pb2.Response(data=data)
        ).SerializeToString()
    return _reply(error)


def reply(
    response: Response | None, operation: Operation, stored: backend_pb2.Auth | None = None
) -> bytes:
    """Return a serialised `HandleRequestReply` for an answer.

    Args:
        response: the backend's answer.
        operation: the requested operation.
        stored: the token's Auth as the host sent it with a renewal; fields that our protocol does
            not
            know are sent back.

    Raises:
        ResponseError, ValueError, TypeError: the wire format cannot express the answer.
    """
    if response is None or (operation in _NEEDS_ANSWER and not _answers(response, operation)):
        return UNSUPPORTED_OPERATION_REPLY if operation in _NEEDS_ANSWER else b""
    message = backend_pb2.HandleRequestReply()
    out = message.response
    auth = response.auth
    if response.raw is not None:
        if auth is not None or response.data is not None:
            raise ResponseError("a raw response carries neither auth nor data")
        out.data = jsonutil.dumps(_raw_data(response.raw))
    elif response.data is None:
        out.data = "null"
    else:
        _check_data(response.data, has_auth=auth is not None)
        out.data = jsonutil.dumps(response.data)
    if auth is not None:
        fill_auth(auth, out.auth)
        if stored is not None and (unknown := unknown_fields(stored)):
            out.auth.MergeFromString(unknown)
    if response.warnings:
        out.warnings.extend(response.warnings)
    if response.redirect:
        out.redirect = response.redirect
    for name, values in response.headers.items():
        out.headers[name].header.extend(values)
    return message.SerializeToString()


def _answers(response: Response, operation: Operation) -> bool:
    """Return whether the response has what the host reads without a check."""
    data = response.data
    if operation is Operation.ALIAS_LOOKAHEAD:
        return response.auth is not None and response.auth.alias is not None
    if data is None:
        return False
    return operation is Operation.HELP or isinstance(data.get("role"), str)


def _check_data(data: Any, *, has_auth: bool) -> None:
    """Refuse data that the host would take for an error response."""
    if "error" in data and data.keys() <= {"error", "data"}:
        if has_auth:
            raise ResponseError("an error response carries no auth")
        if not isinstance(data["error"], str):
            raise ResponseError("`error` in a response's data is not a string")
    if "http_status_code" in data:
        raise ResponseError("`http_status_code` in a response's data: use RawResponse")


def _raw_data(raw: RawResponse) -> dict[str, Any]:
    data: dict[str, Any] = {"http_status_code": raw.status}
    if raw.content_type:
        data["http_content_type"] = raw.content_type
    if raw.body:
        # Always base64: hosts try that first, and would decode a body that happened to be valid
        # base64.
        data["http_raw_body"] = base64.b64encode(raw.body).decode("ascii")
    if raw.cache_control:
        data["http_raw_cache_control"] = raw.cache_control
    return data
