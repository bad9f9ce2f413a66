"""host:port pairs, split and joined as Go's net package does."""

from __future__ import annotations

from dataclasses import dataclass

from options.values.base import ValueRefusedError, ValueType


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address; empty where both of its parts are."""

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
    """Returns the two parts. Raises: ValueRefusedError. Source: Go's net.SplitHostPort."""
    if not text:
        raise ValueRefusedError("must not be empty")
    before, colon, port = text.rpartition(":")
    if not colon:
        raise ValueRefusedError("lacks the port")
    host = _bracketed_host(text) if text.startswith("[") else before
    if host is before and ":" in host:
        raise ValueRefusedError("has too many colons; an IPv6 address stands in brackets")
    inner = text.removeprefix("[").replace("]", "", 1) if host is not before else text
    if "[" in inner or "]" in inner:
        raise ValueRefusedError("has a stray bracket")
    return HostPort(host, port)


def _bracketed_host(text: str) -> str:
    host, closing, after = text[1:].partition("]")
    if not closing:
        raise ValueRefusedError("lacks the closing bracket")
    if not after.startswith(":"):
        raise ValueRefusedError("lacks the port")
    if after.count(":") > 1:
        raise ValueRefusedError("has too many colons")
    return host
