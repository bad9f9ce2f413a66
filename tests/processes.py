"""Waiting for, and looking at, the processes that tests start."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.02


def wait_for[T](condition: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """What the condition gives as soon as it is true. Fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {condition}"
        time.sleep(POLL_SECONDS)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def command_line(pid: int) -> str:
    """The process's arguments; empty when it has ended."""
    return _read(pid, "cmdline")


def environment(pid: int) -> str:
    return _read(pid, "environ")


def marked_with(mark: str) -> list[int]:
    """The processes whose environment has the mark, this one apart, zombies left out."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [
        pid
        for pid in numbers
        if pid != os.getpid() and mark in environment(pid) and command_line(pid)
    ]


def _read(pid: int, name: str) -> str:
    try:
        return (
            Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""
