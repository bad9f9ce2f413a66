"""One connection of a web worker: reads requests, and sends their responses in order.

The application gets each request as a value, and returns a coroutine (`kernel.http.asking`). If the
coroutine needs nothing that is not in memory, its response is sent at once.

* Further requests wait in the buffer until the response to the first one was sent. If the buffer is
  full, nothing more is read from the client.
* If a client ends its side of the connection before a body is complete, the application can still
  respond. If a client does this after a complete request, the connection is closed: the server
  cannot know whether such a client still reads the response.
* If a client disconnects, its request is canceled.
* If a response is sent before its request has arrived, it is the last one. The rest of the request
  is read and dropped for a while. Otherwise the kernel would reset the connection, and the client
  might lose the response (RFC 9112, 9.6).
* A streamed response to an HTTP/1.0 client ends with the connection, because such clients do not
  know chunks. If it breaks off, the connection is reset.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any, Protocol

from coderapi.server.chunks import Chunked
from coderapi.server.clients import Clients
from coderapi.server.heads import END_OF_HEAD, HeadParser, described, head_of
from kernel.futures import Signal
from kernel.http.asking import Asking, Inbox, Running
from kernel.http.body import Body, incomplete
from kernel.http.call import Call
from kernel.http.errors import APIError, limit_reached, unavailable
from kernel.http.exchange import Request
from kernel.http.responses import Answer, Pieces
from kernel.http.results import Ask
from kernel.http.steps.hosts import address_of, client_of, is_trusted
from kernel.limiter import LimitReachedError
from kernel.telemetry.logs import begin_request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Further lines of a response's head.
CLOSE = b"connection: close\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
# Bodies of this size or more are not copied.
SHARED_BYTES = 16 * 1024
# Closing a socket with this option resets its connection.
RESET = pack("ii", 1, 0)

log = logging.getLogger(__name__)


class Application(Protocol):
    def exchange(self, request: Request) -> Asking[Answer]:
        """Handles a request."""

    def submit[T](self, request: Request, query: Callable[[], T]) -> Future[T]:
        """Runs the query of an Ask in a thread."""


class Connection(asyncio.Protocol):
    """One connection. It is counted from the moment in which it was accepted."""

    transport: Any = None
    # The task of the TLS handshake. The transport exists only after its end.
    connecting: asyncio.Task[Any] | None = None
    is_answered = False

    # Received bytes that belong to no request yet.
    _buffer = b""
    _is_handling = False
    # The number of requests that were begun.
    _begun = 0
    # A request whose body is not read yet, its body, and the same body until it is complete.
    _call: Call | None = None
    _body: Body | None = None
    _arriving: Body | None = None
    # True while the client waits for `100 Continue`.
    _awaits_interim = False
    _running: Running[Any] | None = None
    # True after the last response, while the client may still be sending.
    _is_dropping = False
    _dropped = 0
    # True after the client has ended its side of the connection.
    _has_ended = False
    _is_reading = True
    # True while the client must first read sent bytes.
    _is_paused = False
    _drained: Signal | None = None
    # The bytes of the running request's head, and all bytes that this connection holds.
    _head_bytes = _held = 0

    def __init__(
        self,
        application: Application,
        clients: Clients,
        inbox: Inbox,
        *,
        peer: str,
        server: tuple[str, int],
        scheme: str,
    ) -> None:
        self._application, self._clients, self._inbox = application, clients, inbox
        self._port, self._scheme = server[1], scheme
        self._limits = clients.limits
        self._heads = HeadParser(self._limits, peer, scheme, server[0])
        self.address, self.may_be_many = client_of(peer), is_trusted(peer)
        # The bytes count for this client. A proxy sends the bytes of many clients.
        self._held_for = "" if self.may_be_many else self.address
        self.waits_since: float | None = clients.clock()
        clients.add(self)

    # --- The transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.waits_since = self._clients.clock()

    def connection_lost(self, error: Exception | None) -> None:
        """Also called if the handshake of TLS fails. May be called twice."""
        self._clients.remove(self)
        self._hold(0)
        self._buffer = b""
        running, self._running = self._running, None
        if running:
            running.cancel()
        vars(self).pop("_heads", None)  # It refers to itself.

    def eof_received(self) -> bool:
        """Returns whether to keep the connection open, which is not possible with TLS."""
        self._has_ended = True
        if self._arriving is None:
            return False
        self._arriving.fail(incomplete())
        return self._scheme == "http"

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._drained:
            self._drained.set()
        self._go_on()

    @property
    def unsent(self) -> int:
        return self.transport.get_write_buffer_size() if self.transport else 0

    def abort(self) -> None:
        if self.transport:
            self.transport.abort()
        elif self.connecting:
            self.connecting.cancel()

    # --- Requests ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_dropping:
            self._drop(len(data))
            return
        self._buffer += data
        self._handle()

    def _go_on(self) -> None:
        if not self._is_handling and not self._is_dropping:
            self._handle()

    def _handle(self) -> None:
        """Handles what has arrived, until the client must send more or read a response."""
        self._is_handling = True
        until = self._begun + self._limits.heads_in_a_turn
        has_more = False
        try:
            while self._buffer and not has_more and self._take():
                has_more = self._begun >= until and not self._arriving
            if self._call and not self._running:
                self._limit_received()
                self._begin(self._call)
                has_more = True
        except APIError as error:
            self._refuse(error)
        finally:
            self._is_handling = False
        if has_more and self._buffer and not self._running:
            # Other clients get their turn first.
            self._inbox.loop.call_soon(self._go_on)
        if self._buffer or self._body or self._held or not self._is_reading:
            self._limit_received()

    def _take(self) -> bool:
        """Handles a head or a part of a body. Returns whether to go on.

        Raises: APIError for a head or a body that is not valid.
        """
        if self._arriving:
            return self._take_body(self._arriving)
        if self._call or self._running or self._is_paused or self._is_dropping:
            return False
        data = self._buffer
        if data[0] in b"\r\n":
            data = self._buffer = data.lstrip(b"\r\n")  # RFC 9112, 2.2
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        if end < len(END_OF_HEAD):
            if data:
                self._heads.check_part(data)
            return False
        self._begun += 1
        heads = self._heads
        call = heads.parse(data[:end])
        self._buffer, self._head_bytes = data[end:], end
        if heads.is_chunked or heads.length:
            self._expect_body(call)
        else:
            self._begin(call)
        return True

    def _expect_body(self, call: Call) -> None:
        heads = self._heads
        # The time that the client needed for its head does not count for the body.
        self.waits_since = self._clients.clock()
        self._awaits_interim = heads.expects_interim
        # The usual small body is in the same packet, and must not delay a response.
        self._call = call
        self._body = self._arriving = (
            Chunked(self._want, self._limits)
            if heads.is_chunked
            else Body(heads.length or 0, self._want, self._limits.body_seconds)
        )

    def _take_body(self, body: Body) -> bool:
        before = len(self._buffer)
        self._awaits_interim = False
        try:
            self._buffer = body.take(self._buffer)
        except APIError as error:
            self._buffer, self._is_dropping = b"", True
            body.fail(error)
            return False
        if body.is_complete:
            self._arriving = None
            self.waits_since = None
            return True
        return len(self._buffer) < before

    def _refuse(self, error: APIError) -> None:
        """Lets the application send an error, because what has arrived is not valid."""
        call = self._heads.call(*described(self._buffer))
        self._buffer, self._is_dropping = b"", True
        self._begin(call, error)

    def _begin(self, call: Call, refusal: APIError | None = None) -> None:
        """Begins the exchange of a request whose head has arrived, or that is rejected."""
        heads, body = self._heads, None if refusal else self._body
        address = address_of(call)
        if self.may_be_many and not refusal:
            self._hold_for(client_of(address))
        self._call = None
        if refusal or not self._arriving:
            self.waits_since = None
        request = Request(call, address, heads.version, body, refusal, self._port)
        is_last = heads.is_last or refusal is not None
        asking = self._application.exchange(request)
        begin_request(request.request_id)
        try:
            try:
                ask = asking.send(None)
            except StopIteration as end:
                self._respond(request, is_last, end.value)
            else:
                self._drive(request, asking, partial(self._respond, request, is_last), ask)
        except Exception:
            log.exception("A request failed")
            self.abort()

    def _drive[T](
        self, request: Request, asking: Asking[T], end: Callable[[T], None], ask: Ask[Any]
    ) -> None:
        """Goes on with the coroutine when the value that it asks for is there."""
        submit = partial(self._application.submit, request)
        self._running = Running(asking, self._inbox, submit, end, self.abort, request.request_id)
        self._running.wait(ask)

    # --- Bodies and memory ------------------------------------------------------------------------

    def _want(self) -> None:
        """Called when the exchange waits for the body."""
        if self._awaits_interim and self.transport:
            self._awaits_interim = False
            self.transport.write(CONTINUE)
        self._read_on(is_full=False)

    def _limit_received(self) -> None:
        """Counts the received bytes. Reads nothing more from the client if they are too many."""
        body, size = self._body, len(self._buffer)
        is_busy = self._running is not None or self._is_paused
        is_full = is_busy and size > self._limits.head_bytes
        size += self._head_bytes
        if body is not None:
            size += len(body.data)
            is_early = self._arriving and not body.is_wanted
            is_full = is_full or (bool(is_early) and len(body.data) > self._limits.early_bytes)
        if size > self._limits.small_bytes or self._held:
            self._hold(size)
        if is_full is self._is_reading:
            self._read_on(is_full=is_full)

    def _read_on(self, *, is_full: bool) -> None:
        self._is_reading = not is_full
        if self.transport is None or self.transport.is_closing():
            return
        if is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _hold_for(self, client: str) -> None:
        self._hold(0)
        self._held_for = client

    def _hold(self, size: int) -> None:
        before, self._held = self._held, size
        try:
            self._clients.hold(self._held_for, before, size)
        except LimitReachedError as error:
            if self._body and (self._arriving or self._call):
                self._body.fail(error)
            elif not self._running and not self._is_dropping:
                self._refuse(limit_reached(error))

    def _drop(self, size: int) -> None:
        """Drops a part of a request that has been rejected."""
        self._dropped += size
        if self._dropped > self._limits.dropped_bytes:
            self.abort()

    # --- Responses --------------------------------------------------------------------------------

    def _respond(self, request: Request, is_last: bool, answer: Answer) -> None:
        """Sends the response, or its head and then its pieces."""
        self._running = None
        is_gone = self.transport is None or self.transport.is_closing()
        is_head = request.call.method == "HEAD"
        if answer.pieces and (is_gone or is_head):
            answer.pieces.close(0, is_whole=not is_gone)
        if is_gone:
            return
        is_unread = self._arriving is not None or self._is_dropping
        is_last = is_last or is_unread or self._clients.is_closing
        if answer.pieces and not is_head:
            stream = self._stream(request, answer, answer.pieces, is_last)
            self._drive(request, stream, self._responded, stream.send(None))
            return
        body = b"" if is_head else answer.body
        head = head_of(answer, CLOSE if is_last else b"")
        if len(body) < SHARED_BYTES:
            self.transport.write(head + body)
        else:
            # Not copied: while the client does not read it, it shares the document in memory.
            self.transport.writelines((head, body))
        self._responded(is_last)

    async def _stream(
        self, request: Request, answer: Answer, pieces: Pieces, is_last: bool
    ) -> bool:
        """Sends the pieces while the client reads them.

        Returns whether this was the last response of the connection.
        """
        has_length = answer.has_length
        is_chunked = not has_length and request.version != "1.0"
        more = (CHUNKED if is_chunked else b"") + (CLOSE if is_last else b"")
        size, is_whole = 0, False
        try:
            self.transport.write(head_of(answer, more))
            while not is_whole:
                piece = await Ask(begin=pieces.next)
                is_whole = piece is None
                size += self._write_piece(piece or b"", is_chunked, is_whole)
                if self._is_paused:
                    await Ask(begin=self._until_drained)
        except Exception:
            log.exception("A streamed response broke off")
            self._break_off(is_noticed=is_chunked or has_length)
            return True
        finally:
            pieces.close(size, is_whole=is_whole)
        return is_last

    def _until_drained(self) -> Signal:
        self._drained = Signal()
        return self._drained

    def _write_piece(self, piece: bytes, is_chunked: bool, is_end: bool) -> int:
        """Returns the size of the piece."""
        if piece or (is_chunked and is_end):
            framed = (b"%x\r\n" % len(piece), piece, b"\r\n") if is_chunked else (piece,)
            self.transport.writelines(framed)
        return len(piece)

    def _break_off(self, *, is_noticed: bool) -> None:
        """Ends the connection in the middle of a response.

        Unless the client notices this anyway (`is_noticed`), resets the connection. An old client
        would take a closed connection for the end of the response.
        """
        if not is_noticed:
            self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
        self.transport.abort()

    def _responded(self, is_last: bool) -> None:
        self._running = None
        self._body, self._head_bytes = None, 0
        self.is_answered = True
        if self.may_be_many:
            # The next request may be that of another client.
            self._hold_for("")
        if is_last:
            self._end()
        else:
            self.waits_since = self._clients.clock()
            if self._buffer:
                self._go_on()
            elif not self._is_handling:
                self._limit_received()

    def _end(self) -> None:
        """Closes the connection after its last response.

        The rest of a rejected request is dropped first.
        """
        is_unread = self._arriving is not None or self._is_dropping
        self._buffer, self._arriving, self._is_dropping = b"", None, True
        self._hold(0)
        if self._has_ended or not is_unread:
            self.transport.close()
            return
        self._read_on(is_full=False)
        self.waits_since = self._clients.clock()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # --- The end of the worker --------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        return not (self._running or self._arriving or self._buffer)

    def close(self) -> None:
        """Closes the connection when the client has read the last response."""
        if self.transport:
            self.transport.close()
        else:
            self.abort()

    def end_early(self) -> None:
        """Rejects the running request, because the server ends."""
        if self._running:
            self._running.fail(unavailable("The server is stopping."))
        else:
            self.abort()
