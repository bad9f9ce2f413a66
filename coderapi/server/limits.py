"""The limits of a web worker for its clients. Units: seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.http.body import DEADLINE_SECONDS, MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one worker."""

    # --- Heads and requests

    head_bytes: int = 32 * 1024
    target_bytes: int = 8 * 1024
    headers: int = 100
    # The length of a header's name. The process caches the names.
    header_name_bytes: int = 256
    # The number of requests of a connection that are handled before other clients get their turn.
    heads_in_a_turn: int = 2
    # The time for a head, and for the pause between two requests.
    head_seconds: float = 15.0
    # A client that reads no part of a response for this long is disconnected.
    stalled_seconds: float = 60.0
    # How often late clients are searched.
    sweep_seconds: float = 1.0

    # --- Bodies

    # The time for a body, from the end of the head.
    body_seconds: float = DEADLINE_SECONDS
    # A body may have this number of chunks, plus one chunk for each `chunk_bytes` bytes. A packet
    # with thousands of chunks would block the event loop.
    tiny_chunks: int = 1000
    chunk_bytes: int = 512
    # The part of a body that may arrive before the exchange asks for the body.
    early_bytes: int = 64 * 1024
    # The maximum number of bytes of a rejected request that are read and dropped. The largest body
    # has 8 MiB.
    dropped_bytes: int = 32 * MEBIBYTE

    # --- Memory: received bytes of heads and bodies, and bytes that clients have not read

    held_bytes: int = 128 * MEBIBYTE
    # The first bytes of each connection do not count for `held_bytes`, so that large bodies of some
    # clients cannot prevent the small ones of others.
    free_bytes: int = 32 * 1024
    # A connection that holds less is not counted.
    small_bytes: int = 2 * 1024
    held_bytes_of_address: int = 32 * MEBIBYTE
    unsent_bytes: int = 128 * MEBIBYTE

    # --- Connections, including idle ones. With few file descriptors, the numbers are lower.

    connections: int = 4096
    connections_of_address: int = 512
    # The number of connections that are closed together if there are too many.
    closed_together: int = 16
    # The pause after a connection could not be accepted, for example with too many open files.
    accept_pause_seconds: float = 1.0

    # --- The end of the worker. The supervisor waits longer than their sum.

    # Responses contain `Connection: close` for this long, or until no client is connected.
    closing_seconds: float = 0.8
    # Connections whose handshake has begun have this long to be accepted.
    handshake_seconds: float = 0.05
    # Connections that were accepted at the very end have this long to send a request.
    last_seconds: float = 0.2
    # Requests have this long to finish. A request body must arrive in less time.
    drain_seconds: float = 17.0
    # Canceled requests have this long to send their response.
    canceled_seconds: float = 3.0
