"""A mail server that accepts every message and keeps it."""

from __future__ import annotations

import base64
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.servers.local_server import answering


@dataclass
class Mailbox:
    """The input that a server received. `lines` has all lines of all sessions."""

    port: int = 0
    lines: list[str] = field(default_factory=list)
    sign_ins: list[str] = field(default_factory=list)
    was_encrypted: bool = False


def mailers(port: int) -> dict[str, Any]:
    """Returns Django's setting for a server on this port of 127.0.0.1."""
    return {"default": {"OPTIONS": {"host": "127.0.0.1", "port": port}}}


class _Session(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        # A client may reject the certificate or disconnect.
        with suppress(OSError):
            self._talk()

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _talk(self) -> None:
        if self.server.encrypts_at_once:
            self._encrypt()
        self._reply("220 ready")
        while line := self.rfile.readline():
            text = line.decode().rstrip("\r\n")
            self.server.mailbox.lines.append(text)
            if not self._answer(text):
                return

    def _answer(self, text: str) -> bool:
        word = text.partition(" ")[0].upper()
        if word == "EHLO":
            self._reply("250-here\r\n250-AUTH PLAIN\r\n250 STARTTLS")
        elif word == "AUTH":
            self.server.mailbox.sign_ins.append(base64.b64decode(text.split()[2]).decode())
            self._reply("235 welcome")
        elif word == "STARTTLS":
            self._reply("220 go on")
            self._encrypt()
        elif word == "DATA":
            self._take_message()
        else:
            self._reply("221 bye" if word == "QUIT" else "250 ok")
        return word != "QUIT"

    def _take_message(self) -> None:
        self._reply("354 go on")
        while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
            self.server.mailbox.lines.append(line)
        self._reply("250 ok")

    def _encrypt(self) -> None:
        self.rfile.close()
        self.connection = self.server.context.wrap_socket(
            self.connection, server_side=True, do_handshake_on_connect=False
        )
        self.connection.do_handshake()
        self.rfile = self.connection.makefile("rb")
        self.server.mailbox.was_encrypted = True

    def _reply(self, text: str) -> None:
        self.connection.sendall(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, encrypts_at_once: bool = False
) -> Iterator[Mailbox]:
    with answering(_Server(("127.0.0.1", 0), _Session)) as server:
        mailbox = Mailbox(port=server.server_address[1])
        server.mailbox = mailbox  # type: ignore[attr-defined]
        server.context = context  # type: ignore[attr-defined]
        server.encrypts_at_once = encrypts_at_once  # type: ignore[attr-defined]
        yield mailbox
