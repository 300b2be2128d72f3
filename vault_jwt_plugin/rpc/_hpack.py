"""HPACK (RFC 7541) with a cache of blocks that leave the dynamic table as it is.

A gRPC client repeats its request headers: after the first call each field is one byte, an index
into the tables. Such a block (every byte in 0x80..0xFE: an indexed field whose index fits its
prefix) changes no table, so until the next change of the table its decoded form depends only on
its bytes. The same holds for encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import hpack

from vault_jwt_plugin.rpc._fields import Fields
from vault_jwt_plugin.rpc.errors import ErrorCode, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers = tuple[tuple[bytes, bytes], ...]
"""A field section to send: names in lower case, pseudo-header fields first."""

_INDEXED_BYTES: Final = bytes(range(0x80, 0xFF))
_MEMO_ENTRIES: Final = 256
_MEMO_BLOCK_BYTES: Final = 128
_TABLE_BYTES: Final = 4096
# The top three bits of a dynamic table size update (RFC 7541 6.3), which may only start a block.
_RESIZE: Final = 0x20
# The names whose values repeat from call to call. Others are sent as never-indexed literals: they
# would evict these from the table, and a status text may quote what should not be kept.
_INDEXABLE: Final = frozenset(
    {
        b":authority",
        b":method",
        b":path",
        b":scheme",
        b":status",
        b"content-type",
        b"grpc-accept-encoding",
        b"grpc-status",
        b"te",
        b"user-agent",
    }
)


def _is_indexed_only(block: bytes) -> bool:
    """Return whether the block consists of one-byte indexed fields."""
    return not block.translate(None, _INDEXED_BYTES)


def _newest(coder: hpack.Decoder | hpack.Encoder) -> tuple[bytes, bytes] | None:
    """Return the newest entry of the dynamic table, which is a new object after every insertion.

    Returns None if the table is empty; an entry that does not fit empties it (RFC 7541 4.4).
    """
    entries = coder.header_table.dynamic_entries
    return entries[0] if entries else None


def _problem(error: hpack.HPACKError) -> str:
    """Return the library's text without the repr of a memoryview, which would reveal an address."""
    return str(error).partition(": ")[0].partition(" from ")[0]


class Decoder:
    """Decode the header blocks of one direction of one connection to `Fields`."""

    def __init__(self, max_header_list_bytes: int) -> None:
        self._coder = hpack.Decoder(max_header_list_bytes)
        self._memo: dict[bytes, Fields] = {}

    def decode(self, block: bytes) -> Fields:
        """Decode one whole header block.

        Raises:
            RemoteProtocolError: COMPRESSION_ERROR, or ENHANCE_YOUR_CALM if the list exceeds the
                limit.
                The table may then be half updated, so the connection has to end.
        """
        fields = self._memo.get(block)
        if fields is not None:
            return fields
        newest = _newest(self._coder)
        try:
            pairs: Sequence[tuple[bytes, bytes]] = list(self._coder.decode(block, raw=True))
        except hpack.OversizedHeaderListError:
            raise RemoteProtocolError(
                ErrorCode.ENHANCE_YOUR_CALM, "header list larger than allowed"
            ) from None
        except hpack.HPACKError as error:
            raise RemoteProtocolError(ErrorCode.COMPRESSION_ERROR, _problem(error)) from None
        fields = Fields(pairs)
        if _is_indexed_only(block):
            if len(self._memo) < _MEMO_ENTRIES and len(block) <= _MEMO_BLOCK_BYTES:
                self._memo[block] = fields
        elif _newest(self._coder) is not newest or block[0] & 0xE0 == _RESIZE:
            self._memo.clear()
        return fields


class Encoder:
    """Encode the field sections of one direction of one connection to header blocks."""

    def __init__(self) -> None:
        self._coder = hpack.Encoder()
        self._memo: dict[Headers, bytes] = {}

    def resize_table(self, max_bytes: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE, but never use more than the default."""
        size = min(max_bytes, _TABLE_BYTES)
        # hpack does not announce a pending change if the same size is set again.
        if size != self._coder.header_table_size:
            self._memo.clear()
            self._coder.header_table_size = size

    def encode(self, headers: Headers) -> bytes:
        """Encode one header block. Blocks must be sent in the order in which they are encoded."""
        block = self._memo.get(headers)
        if block is not None:
            return block
        newest = _newest(self._coder)
        block = self._coder.encode(
            [(name, value, name not in _INDEXABLE) for name, value in headers]
        )
        if _is_indexed_only(block):
            if len(self._memo) < _MEMO_ENTRIES:
                self._memo[headers] = block
        elif _newest(self._coder) is not newest:
            self._memo.clear()
        return block
