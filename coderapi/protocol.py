"""A connection of a web worker: uvicorn's connection, with limits for hostile clients.

`coderapi.connections` has the limits that all connections share. Both modules depend on the
internals of uvicorn and httptools, and a test fails if they change.

* A head may have `MAX_HEAD_BYTES` and `MAX_HEADERS`, and its URL `MAX_TARGET_BYTES`. At most
  `MAX_PIPELINED` requests may wait for the response to an earlier request of the same connection.
  The chunks of a body must not be tiny.
* If a client ends its side of the connection before a body is complete, the scope gets the key
  `BROKEN`, and the application can still respond. If a client does this after a complete request,
  the connection is closed: the server cannot know whether such a client still reads the response.
* If a client disconnects, the task of its request is canceled.
* If a request is rejected before it has arrived, the rest is read and dropped, up to `HEAD_SECONDS`
  and `MAX_DROPPED_BYTES`. Otherwise the kernel would reset the connection, and the client might
  lose the response (RFC 9112, 9.6).
* A streamed response to an HTTP/1.0 client ends with the connection, because such clients do not
  know chunks. If it breaks off, the connection is reset.
"""

from __future__ import annotations

import asyncio
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from types import SimpleNamespace
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from coderapi.connections import CountedConnection
from kernel.http.errors import APIError
from kernel.http.responses import Answer
from kernel.http.steps import new_request_id
from kernel.http.threads import Headers

MAX_HEAD_BYTES = 32 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 16
# The maximum number of bytes of a rejected request that are read and dropped. The largest body has
# 8 MiB.
MAX_DROPPED_BYTES = 32 * 1024 * 1024
# Bodies of this size or more are not copied.
SHARED_BYTES = 16 * 1024
# A body may have this number of chunks, plus one chunk for each `CHUNK_BYTES` bytes. A packet with
# thousands of chunks would block the event loop.
MAX_TINY_CHUNKS = 1000
CHUNK_BYTES = 512
# Closing a socket with this option resets its connection.
RESET = pack("ii", 1, 0)
NOT_HTTP = "The request is not valid HTTP."
VERSIONS = frozenset({"1.0", "1.1"})
# The headers that describe how the body is sent.
BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
# Keys of the scope: the connection, and whether the client ended its side before its body was
# complete.
CONNECTION, BROKEN = "coderapi.connection", "coderapi.broken"


def head_too_large() -> APIError:
    return APIError(431, "The head of the request is too large.")


class _Ended:
    """Replaces the cycle of a request that was answered without a task."""

    response_complete = True
    more_body = False
    keep_alive = True
    disconnected = False
    message_event = SimpleNamespace(set=lambda: None)


ENDED: Any = _Ended()


class Connection(CountedConnection):
    """One connection. `task` is the task of the current request."""

    # Whether each response is the last one of its connection.
    is_closing: ClassVar[bool] = False

    task: asyncio.Task[Any] | None = None
    # The received bytes that the parser has not passed on: of an incomplete head, or of the fields
    # after a chunked body. After a rejection, the dropped bytes. They are limited as they arrive.
    _unparsed = 0
    _has_head = False
    # The request whose task runs. If requests are pipelined, `cycle` is the last one.
    _running: Any = None
    # Whether the client sent something that is not valid, while an earlier request was running.
    _is_invalid = False
    # Whether the last response was sent, although the client may still be sending.
    _is_rejected = False
    # Whether the client has ended its side of the connection.
    _has_ended = False
    # The requests of the current packet that were answered without a task.
    _answered = 0
    # The chunks of the current body, and the bytes in them.
    _chunks = 0
    _body_bytes = 0

    # --- Heads ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_rejected:
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        self._answered = 0
        self._unparsed += len(data)
        try:
            self._parse(data)
            if self._unparsed > MAX_HEAD_BYTES:
                self._refuse(head_too_large())
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, APIError) else APIError(400, NOT_HTTP))

    def _parse(self, data: bytes) -> None:
        """Raises: HttpParserError, whose context is an APIError if a callback raised one."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._has_body():
                self._read_body_without_upgrade()
                self.parser.feed_data(data[upgrade.args[0] :])

    def on_message_begin(self) -> None:
        # Other clients wait while the requests of one packet are answered.
        if len(self.pipeline) >= MAX_PIPELINED or self._answered > MAX_PIPELINED:
            raise APIError(400, "Too many requests were sent before the response to the first.")
        super().on_message_begin()
        scope: Any = self.scope
        scope[CONNECTION] = self
        self._has_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # Ignore the fields after a chunked body: they could replace headers that a proxy has set.
        if self._has_head:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise head_too_large()
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_TARGET_BYTES:
            raise APIError(414, "The URL is too long.")

    def on_headers_complete(self) -> None:
        if self._size_of_head() > MAX_HEAD_BYTES:
            raise head_too_large()
        self._check_headers()
        self._has_head = True
        self.waiting.pop(self, None)
        self._unparsed = self._chunks = self._body_bytes = 0
        if self._answer_at_once():
            return
        super().on_headers_complete()
        # After an upgrade, the parser reads no further request, and no upgrade is supported.
        if self.is_closing or self.parser.should_upgrade():
            self.cycle.keep_alive = False
        if self.scope["http_version"] == "1.0":
            self._send_without_chunks(self.cycle)

    def on_chunk_header(self) -> None:
        self._unparsed = 0
        self._chunks += 1
        if self._chunks > MAX_TINY_CHUNKS + self._body_bytes // CHUNK_BYTES:
            raise APIError(400, "The chunks of the request body are too small.")

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.cycle is ENDED:
            return
        if self.parser.should_upgrade() and self._has_body():
            return  # The parser has skipped the body.
        cycle: Any = self.cycle
        if cycle is self._running:
            self.waiting.pop(self, None)
        super().on_message_complete()

    def _check_headers(self) -> None:
        """Raises: APIError 400, 501 or 505, as RFC 9112, 3.2 and 6.1, and RFC 9110, 15.6.6 require.

        If the target is a whole URL, as for a proxy, the Host header is replaced by its host.
        """
        # uvicorn sets it later, but the access log also has requests that uvicorn does not handle.
        version = self.scope["http_version"] = self.parser.get_http_version()
        if version not in VERSIONS:
            raise APIError(505, "The supported versions are HTTP/1.1 and HTTP/1.0.")
        is_old = version == "1.0"
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 and not (is_old and b"host" not in names):
            raise APIError(400, "A request must have one Host header.")
        if not self.url.startswith((b"/", b"*")):
            self._use_host_of_target()
        cycle: Any = self.cycle
        if cycle and not cycle.response_complete and self._has_body():
            # Its body would occupy memory while the other request runs. Clients do not do this.
            detail = "A request with a body must wait for the response to the previous request."
            raise APIError(400, detail)
        if b"transfer-encoding" in names:
            codings = {
                value.lower() for name, value in self.headers if name == b"transfer-encoding"
            }
            if codings != {b"chunked"}:
                raise APIError(501, "The only supported transfer coding is chunked.")
        if is_old:
            # RFC 9110, 10.1.1: the client would not understand the interim response.
            self.expect_100_continue = False

    def _use_host_of_target(self) -> None:
        host = self.url.partition(b"//")[2].partition(b"/")[0].partition(b"?")[0]
        if b"@" in host:
            raise APIError(400, NOT_HTTP)
        self.headers[:] = [each for each in self.headers if each[0] != b"host"]
        self.headers.append((b"host", host))

    def _has_body(self) -> bool:
        return any(name in BODY_HEADERS for name, _ in self.headers)

    def _read_body_without_upgrade(self) -> None:
        """Makes a parser for the body of a request that asks for another protocol.

        No other protocol is supported. RFC 9110, 7.8 then requires the server to handle the request
        as usual, but the usual parser skips the body. The connection is closed after the response.
        """

        def on_message_complete() -> None:
            self.on_message_complete()
            raise APIError(400, "No request can follow one that asks for another protocol.")

        of_body = SimpleNamespace(
            on_chunk_header=self.on_chunk_header,
            on_body=self.on_body,
            on_message_complete=on_message_complete,
        )
        fields = [b"%s: %s\r\n" % each for each in self.headers if each[0] in BODY_HEADERS]
        self.parser = httptools.HttpRequestParser(of_body)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(fields) + b"\r\n")

    def _size_of_head(self) -> int:
        # A head of one small packet is the usual case.
        if self._unparsed <= MAX_HEAD_BYTES:
            return self._unparsed
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    # --- Responses without a task ---------------------------------------------------------------

    def _answer_at_once(self) -> bool:
        """Sends the response if the application has it in memory. Returns whether it was sent.

        A task and the messages of ASGI would take longer than the rest of such a request.
        """
        cycle: Any = self.cycle
        method = self.parser.get_method()
        is_busy = self.flow.write_paused or (cycle is not None and not cycle.response_complete)
        find = getattr(self.app, "answer_at_once", None)
        if find is None or method not in {b"GET", b"HEAD"} or is_busy:
            return False
        if self.parser.should_upgrade():
            return False
        scope: Any = self.scope
        parsed = httptools.parse_url(self.url)
        scope["method"] = method.decode("ascii")
        scope["raw_path"], scope["query_string"] = parsed.path, parsed.query or b""
        answer = find(scope)
        if answer is None:
            return False
        self.cycle = ENDED
        self._answered += 1
        self.server_state.total_requests += 1
        is_head, is_old = method == b"HEAD", scope["http_version"] == "1.0"
        is_last = self.is_closing or is_old or not self.parser.should_keep_alive()
        self._write(answer.status, answer.headers.items(), b"" if is_head else answer.body, is_last)
        if not is_last:
            self._wait_for_client()
        return True

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Sends the whole response to the running request.

        The messages of ASGI would take longer, for example because uvicorn searches each header
        twice for invalid characters.
        """
        cycle = self._running
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        is_head = cycle.scope["method"] == "HEAD"
        is_last = self.is_closing or not cycle.keep_alive
        self._is_rejected = is_last and (cycle.more_body or self._is_invalid)
        # The connection of a rejected request stays open, but its body is not needed.
        cycle.body.clear()
        self._write(status, headers, b"" if is_head else body, is_last=is_last)
        cycle.response_started = cycle.response_complete = True
        cycle.on_response()

    def _write(self, status: int, headers: Headers, body: bytes, is_last: bool) -> None:
        lines = [f"{name}: {value}\r\n" for name, value in headers]
        if is_last:
            lines.append("connection: close\r\n")
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines):
            raise ValueError("A header contains a line break.")
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (head.encode("latin-1"), b"\r\n")
        if len(body) < SHARED_BYTES:
            self.transport.write(b"".join((*parts, body)))
        else:
            # Not copied: while the client does not read it, it shares the document in memory.
            self.transport.writelines((b"".join(parts), body))
        if is_last:
            self._end()

    def _end(self) -> None:
        """Closes the connection after its last response.

        The rest of a rejected request is dropped first.
        """
        if not self._is_rejected or self._has_ended:
            self.transport.close()
            return
        self._unparsed = 0
        self.flow.resume_reading()
        self._wait_for_client()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _drop(self, data: bytes) -> None:
        """Drops a part of a request that has been rejected."""
        self._unparsed += len(data)
        if self._unparsed > MAX_DROPPED_BYTES:
            self.transport.abort()

    @staticmethod
    def _send_without_chunks(cycle: Any) -> None:
        """Makes uvicorn send a response without a length as it is, instead of in chunks."""
        send_message = cycle.send

        async def send(message: Any) -> None:
            cycle.chunked_encoding = False
            cycle.expected_content_length = len(message.get("body", b""))
            await send_message(message)

        cycle.send = send

    @property
    def can_respond(self) -> bool:
        """Whether the client is connected, and no part of the response has been sent."""
        return not self._running.disconnected and not self._running.response_started

    def close_after_response(self) -> None:
        """Makes the response to the running request the last one of this connection."""
        self._running.keep_alive = False

    def on_response_complete(self) -> None:
        if self._is_rejected:
            return
        super().on_response_complete()
        if not self.transport.is_closing() and self._running.response_complete:
            self._wait_for_client()

    def _refuse(self, error: APIError) -> None:
        """Sends an error and closes the connection, or closes it after the current response."""
        self.waiting.pop(self, None)
        cycle: Any = self.cycle
        if cycle and not cycle.response_complete:
            self._is_invalid = True
            self.flow.pause_reading()
            cycle.keep_alive = False
            self._break_body()
        elif not self.transport.is_closing():
            self._is_rejected = True
            answer = error.answer().completed(new_request_id())
            self._record(answer)
            body = b"" if self.scope["method"] == "HEAD" else answer.body
            self._write(answer.status, answer.headers.items(), body, is_last=True)

    def _record(self, answer: Answer) -> None:
        """Passes a response that the connection itself sends to the application."""
        scope: Any = self.scope
        if scope is None or self._has_head:
            # The error is not in the message that `scope` belongs to.
            super().on_message_begin()
            scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii") if self.url else ""
        scope["raw_path"] = self.url.partition(b"?")[0]
        if record := getattr(self.app, "record_rejection", None):
            record(scope, answer)

    # --- Disconnected clients -------------------------------------------------------------------

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Returns whether to keep the connection open, which is not possible with TLS."""
        self._has_ended = True
        return self._break_body() if self.scheme == "http" else None

    def _break_body(self) -> bool:
        """Lets the application know that the rest of a body will not arrive, if one is expected."""
        cycle: Any = self.cycle
        if not cycle or cycle.response_complete or not cycle.more_body:
            return False
        cycle.keep_alive = False
        cycle.scope[BROKEN] = True
        cycle.message_event.set()
        return True

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        if cycle.more_body:
            self._wait_for_client()
        self.task = self.loop.create_task(self._run(cycle, app))
        self.task.add_done_callback(self.tasks.discard)
        self.tasks.add(self.task)

    async def _run(self, cycle: Any, app: Any) -> None:
        await cycle.run_asgi(app)
        is_broken = cycle.response_started and not (cycle.response_complete or cycle.disconnected)
        if is_broken and not cycle.chunked_encoding:
            # To an old client, a usual close looks like the end of the response.
            self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._running is not None:
            self._running.disconnected = True
        super().connection_lost(exc)
        self.pipeline.clear()
        if self.task is not None:
            self.task.cancel()
