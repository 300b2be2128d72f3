"""The limits for a peer, with their defaults and units."""

from __future__ import annotations

from dataclasses import dataclass

from vault_jwt_plugin.rpc._frames import DEFAULT_WINDOW, MAX_WINDOW

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one connection. The defaults suit a host that is trusted but may be faulty.

    The `*_per_interval` limits count frames that cost the receiver work and the sender nothing;
    a connection that exceeds one is closed with ENHANCE_YOUR_CALM (the attacks are CVE-2019-9511 to
    9518, CVE-2023-44487 and CVE-2024-27316).
    """

    max_message_bytes: int = 32 * _MIB
    """The largest gRPC message that is received. A larger one fails with RESOURCE_EXHAUSTED."""

    max_buffered_bytes: int = 256 * _MIB
    """How many received bytes of unfinished or unread messages a connection may hold."""

    max_header_list_bytes: int = 64 * _KIB
    """The largest header list, counted as in RFC 9113 6.5.2 (plus 32 bytes per field)."""

    max_continuations: int = 64
    """The most CONTINUATION frames per header block."""

    max_concurrent_streams: int = 1000
    """The most streams that a peer may have open; more are refused (REFUSED_STREAM)."""

    max_connections: int = 64
    """The most connections that a server holds; more are closed as they are accepted."""

    flood_interval_s: float = 10.0
    """The interval of the following limits."""

    max_pings_per_interval: int = 500_000
    """The most PINGs per interval. grpc-go sends one for nearly every response it reads (its BDP
    estimator), so without `ping_ack_delay_s` this also bounds the calls of an honest client.
    """

    max_settings_per_interval: int = 1_000
    """The most SETTINGS and PRIORITY frames per interval, counted together."""

    max_resets_per_interval: int = 10_000
    """The most streams per interval that the peer resets, or makes us reset."""

    max_empty_frames_per_interval: int = 10_000
    """The most DATA frames per interval that are empty and do not end their stream."""

    handshake_timeout_s: float = 10.0
    """The longest TLS handshake, and then the longest wait for the peer's first SETTINGS."""

    stall_timeout_s: float = 60.0
    """How long a peer may block waiting data. If its windows are at zero, the stream is reset; if
    its socket is full, the connection is closed.
    """

    stream_window_bytes: int = 1 * _MIB
    """Our receive window for each stream; messages up to this size need no WINDOW_UPDATE."""

    connection_window_bytes: int = 16 * _MIB
    """Our receive window for the connection; it is returned when half of it is used."""

    write_high_water_bytes: int = 1 * _MIB
    """How many bytes may wait for the socket before reading and streaming stop."""

    ping_ack_delay_s: float = 0.005
    """How long a PING's acknowledgement is held. grpc-go always has one PING under way, so an
    immediate acknowledgement costs a TLS record and a wake-up on both sides for every call.
    """

    def __post_init__(self) -> None:
        """Raise ValueError for windows that a peer cannot know in time.

        Until the peer has seen our windows it may use the protocol's initial one (RFC 9113 6.9.2).
        """
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not DEFAULT_WINDOW <= getattr(self, name) <= MAX_WINDOW:
                raise ValueError(f"{name} must be {DEFAULT_WINDOW} to {MAX_WINDOW}")
