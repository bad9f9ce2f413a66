"""Additional validation rules for strings and for items of lists."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import semver

from options.values.addresses import split_host_port
from options.values.base import ValueRefusedError

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Rule:
    accepted: str
    is_met: Callable[[str], bool]


def one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", frozenset(words).__contains__)


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _can_be_listened_on(text: str) -> bool:
    try:
        port = split_host_port(text).port
    except ValueRefusedError:
        return False
    return bool(re.fullmatch("[0-9]{1,5}", port)) and int(port) < 1 << 16


def _is_postgres(text: str) -> bool:
    """Returns whether the string is a PostgreSQL URL. As in libpq, it can name several hosts."""
    if not text.startswith(("postgres://", "postgresql://")):
        return False
    try:
        hosts = urlsplit(text).netloc.rpartition("@")[2].split(",")
    except ValueError:
        return False
    return all(_HOST.fullmatch(host) for host in hosts)


NETWORK = Rule("an address or a network such as 10.0.0.0/8", _is_network)

LISTENER = Rule("host:port with a numeric port, such as 127.0.0.1:3000", _can_be_listened_on)

MOUNT_PATH = Rule(
    "a path outside /api/ that begins and ends with a slash, such as /coderapi/",
    _matches(r"/(?!api/)([A-Za-z0-9_-]+/)*"),
)

WILDCARD_HOST = Rule(
    "a pattern such as *.example.com or *-apps.example.com",
    _matches(r"\*[A-Za-z0-9-]*(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+(:[0-9]+)?"),
)

HOST_SUFFIX = Rule("a name without a leading dot", lambda text: not text.startswith("."))

SSH_LINE = Rule("key=value or key value", _matches(r"[^ =]+[ =].*"))

IDLE_CONNECTIONS = Rule("auto or a whole number", _matches(r"auto|[0-9]{1,9}"))

SESSION_TOKEN = Rule(
    "a session token: 10 characters, a hyphen, and 22 characters",
    _matches(r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}"),
)

POSTGRES_URL = Rule(
    "a URL such as postgresql://user:password@host:5432/database, with numeric ports",
    _is_postgres,
)

REDIS_URL = Rule(
    "a URL such as redis://host:6379/0",
    lambda text: text.startswith(("redis://", "rediss://", "unix://")),
)

SEMANTIC_VERSION = Rule(
    "a semantic version without a leading v, such as 2.29.0", semver.Version.is_valid
)
