"""A TCP proxy in its own process that can cut connections around COMMIT, or drop all packets.

`silence` imitates a database host without power or network. A socket filter makes the kernel drop
every packet, so it acknowledges no data, accepts no connection and answers no keepalive. Without
Linux the proxy only stops forwarding. `vanish` imitates this for the host of the clients, and
`freeze` a host that still acknowledges packets. Both wait for data of a client with a pattern.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import random
import re
import socket
import struct
import subprocess
import sys
from typing import Any, TextIO, cast

from bench.load import BenchError
from bench.service import PROJECT, free_port

# Data with these words makes PostgreSQL commit: the end of a transaction, and the values of the
# statements that write a batch of reports or an API key.
BATCH, KEY = "group_blocked_source", "api_key.create"
COMMITS = re.compile(rf"\bCOMMIT\b|{BATCH}|{re.escape(KEY)}".encode(), re.IGNORECASE)
CUTS = ("before", "during", "after")
CHUNK = 65_536
ATTACH_FILTER = 26
RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)


class Proxy:
    """Starts the proxy as a process, and sends it commands."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def order(self, *words: object) -> str:
        """Returns the answer of the proxy: `ok`, or the cut words after `forward`."""
        self._orders.write(" ".join(map(str, words)) + "\n")
        self._orders.flush()
        return self._answers.readline().strip()

    def forward_to(self, target: int) -> None:
        """Restarts the proxy with another target. This ends all connections."""
        self.end()
        self._target = target
        self._start()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-m", "bench.faults.proxy", str(self.port), str(self._target)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._orders = cast("TextIO", self._process.stdin)
        self._answers = cast("TextIO", self._process.stdout)
        if self._answers.readline().strip() != "ready":
            raise BenchError("The proxy does not start.")


class Forwarder:
    """Forwards both directions of every connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: set[Any] = set()
        self._far_sockets: set[Any] = set()
        self._cut_chance = 0.0
        self._cuts: set[str] = set()
        # Stops forwarding after data with the pattern, and then drops packets or not.
        self._last: re.Pattern[bytes] | None = None
        self._vanishes = False
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._chance = random.Random()  # noqa: S311 - not a secret

    def listen_on(self, listening: Any) -> None:
        self._sockets.add(listening)

    def obey(self, order: str) -> str:
        match order.split():
            case ["cut", chance, seed]:
                self._chance.seed(int(seed))
                self._cut_chance, self._cuts = float(chance), set()
            case ["forward"]:
                self._cut_chance = 0.0
                return " ".join(sorted(self._cuts))
            case ["silence"]:
                self._silence(self._sockets)
            case ["vanish" | "freeze" as kind, pattern]:
                self._last, self._vanishes = re.compile(pattern.encode()), kind == "vanish"
            case ["forwarding"]:
                return "yes" if self._forwarding.is_set() else "no"
            case _:
                return f"unknown order {order}"
        return "ok"

    def _silence(self, sockets: set[Any]) -> None:
        self._forwarding.clear()
        for one in sockets:
            _drop_everything(one)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return _reset(writer)
        near, far = (one.get_extra_info("socket") for one in (writer, far_writer))
        self._sockets.add(near)
        self._far_sockets.add(far)
        connection = Connection(writer, far_writer)
        await asyncio.gather(
            self._pump(reader, far_writer, connection, from_client=True),
            self._pump(far_reader, writer, connection, from_client=False),
        )
        self._sockets.discard(near)
        self._far_sockets.discard(far)
        return None

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: Connection,
        *,
        from_client: bool,
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(CHUNK):
                await self._forwarding.wait()
                if connection.ends_with_next_answer and not from_client:
                    break
                cut = self._cut(data) if from_client else ""
                if cut == "before":
                    break
                writer.write(data)
                await writer.drain()
                if from_client and self._last and self._last.search(data):
                    self._last = None
                    self._silence(self._far_sockets if self._vanishes else set())
                if cut == "during":
                    break
                connection.ends_with_next_answer |= cut == "after"
        await self._forwarding.wait()
        connection.end()

    def _cut(self, data: bytes) -> str:
        found = COMMITS.search(data) if self._cut_chance else None
        if not found or self._chance.random() >= self._cut_chance:
            return ""
        self._cuts.add(found[0].decode())
        return self._chance.choice(CUTS)


class Connection:
    """The two ends of one connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.ends_with_next_answer = False

    def end(self) -> None:
        for writer in self._writers:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def _drop_everything(one: Any) -> None:
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(RETURN_NOTHING)
    program = struct.pack("HP", 1, ctypes.addressof(code))
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, program)


async def _main(port: int, target: int) -> None:
    forwarder = Forwarder(target)
    server = await asyncio.start_server(forwarder.serve, "127.0.0.1", port)
    for listening in server.sockets:
        forwarder.listen_on(listening)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    _answer("ready")
    while order := await orders.readline():
        _answer(forwarder.obey(order.decode()))


def _answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
