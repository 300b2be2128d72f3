"""Every limit that a peer meets, with its default and unit."""

from __future__ import annotations

from dataclasses import dataclass

from vault_jwt_plugin.rpc._frames import DEFAULT_WINDOW, MAX_WINDOW

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may cost. The defaults suit a host that is trusted but may be wrong.

    The `*_per_interval` limits count frames that cost the receiver work and the sender nothing;
    a connection that passes one is closed with ENHANCE_YOUR_CALM (CVE-2019-9511 to 9518,
    CVE-2023-44487, CVE-2024-27316 are the attacks).
    """

    max_message_bytes: int = 32 * _MIB
    """One gRPC message, either direction of receipt. Larger: RESOURCE_EXHAUSTED."""

    max_buffered_bytes: int = 256 * _MIB
    """Received bytes of unfinished or unread messages, per connection."""

    max_header_list_bytes: int = 64 * _KIB
    """One header list, counted as RFC 9113 6.5.2 does (32 bytes per field on top)."""

    max_continuations: int = 64
    """CONTINUATION frames per header block."""

    max_concurrent_streams: int = 1000
    """Streams that a peer may have open; more are refused (REFUSED_STREAM)."""

    max_connections: int = 64
    """Connections that a server holds; more are closed as they are accepted."""

    flood_interval_s: float = 10.0
    """The interval of the limits that follow."""

    max_pings_per_interval: int = 500_000
    """PINGs. grpc-go sends one for nearly every response it reads (its BDP estimator), so with
    no `ping_ack_delay_s` this also bounds the calls of an honest client."""

    max_settings_per_interval: int = 1_000
    """SETTINGS frames and PRIORITY frames, counted together."""

    max_resets_per_interval: int = 10_000
    """Streams that the peer resets, or makes us reset."""

    max_empty_frames_per_interval: int = 10_000
    """DATA frames without content that do not end their stream."""

    handshake_timeout_s: float = 10.0
    """From accept to the end of the TLS handshake, and again to the peer's first SETTINGS."""

    stall_timeout_s: float = 60.0
    """A peer that lets none of the bytes that wait for it leave for this long: its windows at
    zero (the stream is reset), or its socket full (the connection is closed)."""

    stream_window_bytes: int = 1 * _MIB
    """Our receive window of each stream: messages up to this size need no WINDOW_UPDATE."""

    connection_window_bytes: int = 16 * _MIB
    """Our receive window of the connection, given back when half of it is used."""

    write_high_water_bytes: int = 1 * _MIB
    """Bytes waiting for the socket above which nothing more is read or streamed."""

    ping_ack_delay_s: float = 0.005
    """How long a PING's acknowledgement is held. grpc-go has one PING on its way at any time, so
    an acknowledgement at once costs a TLS record and a wake-up on both sides for every call."""

    def __post_init__(self) -> None:
        """Raises ValueError for windows that a peer cannot know in time.

        It may use the protocol's initial window (RFC 9113 6.9.2) until it has seen ours.
        """
        for name in ("stream_window_bytes", "connection_window_bytes"):
            if not DEFAULT_WINDOW <= getattr(self, name) <= MAX_WINDOW:
                raise ValueError(f"{name} must be {DEFAULT_WINDOW} to {MAX_WINDOW}")
