"""A real server in processes of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.support.processes import Program, command_line

ANY_PORT = "127.0.0.1:0"
READY = re.compile(r"Ready: http://127\.0\.0\.1:(\d+) answers")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Server(Program):
    """A server on a port of its own choice."""

    def __init__(self, *arguments: str, log: Path, address: str = ANY_PORT, **more: str) -> None:
        super().__init__("server", "--http-address", address, *arguments, log=log, **more)

    @property
    def port(self) -> int:
        """The port, once it answers there."""
        self.wait_for_log(" answers\n")
        found = READY.search(self.log.read_text())
        assert found
        return int(found[1])

    def get(self, path: str = "/healthz") -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.get() == 200
        except OSError:
            return False

    def processes(self, having: str) -> set[int]:
        return {pid for pid in self.all_processes() if having in command_line(pid)}

    def web_workers(self) -> set[int]:
        return self.processes("spawn_main")

    def ask(
        self, path: str, *, token: str = "", method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """The answer to one request, as somebody with the token."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Coder-Session-Token": token} if token else {}
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()
