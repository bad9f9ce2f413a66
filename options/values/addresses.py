"""Values of the form host:port, parsed and formatted as in Go's package net."""

from __future__ import annotations

import re
from dataclasses import dataclass

from options.values.base import ValueRefusedError, ValueType

_HOST_PORT = re.compile(
    r"(\[(?P<literal>[^\[\]]*)\]|(?P<name>[^:\[\]]*)):(?P<port>[^:\[\]]*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port. `bool()` returns False if both are empty."""

    host: str = ""
    port: str = ""

    def __bool__(self) -> bool:
        return bool(self.host or self.port)

    def __str__(self) -> str:
        if not self:
            return ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address(ValueType[HostPort]):
    name = "host:port"
    accepted = "host:port, such as 127.0.0.1:3000, [::1]:3000 or :3000"
    zero = HostPort()

    def parse(self, text: str) -> HostPort:
        return split_host_port(text)

    def format(self, value: HostPort) -> str:
        return str(value) or ":"


def split_host_port(text: str) -> HostPort:
    """Splits a string of the form host:port.

    Raises: ValueRefusedError if the string has another form. Source: Go's net.SplitHostPort.
    """
    found = _HOST_PORT.fullmatch(text)
    if not found:
        raise ValueRefusedError("is not host:port")
    return HostPort(found["literal"] or found["name"] or "", found["port"])
