"""Additional validation rules for strings and for items of lists."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import semver

from options.values.addresses import split_host_port

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]*)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for strings. `check` returns a false value or raises ValueError for other strings.

    `normalize` converts an accepted string to the form that Coder's server accepts.
    """

    accepted: str
    check: Callable[[str], object]
    normalize: Callable[[str], str] = str

    def is_met(self, text: str) -> bool:
        try:
            return bool(self.check(text))
        except ValueError:
            return False


def one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", frozenset(words).__contains__)


def matching(accepted: str, pattern: str) -> Rule:
    return Rule(accepted, re.compile(pattern).fullmatch)


def _can_be_listened_on(text: str) -> bool:
    port = split_host_port(text).port
    return bool(re.fullmatch("[0-9]{1,5}", port)) and int(port) < 1 << 16


def _is_postgres(text: str) -> bool:
    """Returns whether the string is a PostgreSQL URL. As in libpq, it can name several hosts."""
    hosts = urlsplit(text).netloc.rpartition("@")[2].split(",")
    is_right = text.startswith(("postgres://", "postgresql://"))
    return is_right and all(_HOST.fullmatch(host) for host in hosts)


def _with_prefix_length(network: str) -> str:
    length = ipaddress.ip_network(network, strict=False).prefixlen
    return f"{network.partition('/')[0]}/{length}"


LISTENER = Rule("host:port with a numeric port, such as 127.0.0.1:3000", _can_be_listened_on)
POSTGRES_URL = Rule(
    "a URL such as postgresql://user:password@host:5432/database, with numeric ports",
    _is_postgres,
)
MIN_SECRET_LENGTH, MIN_SECRET_CHARACTERS = 50, 10

# The values of `rule` in the catalogues.
RULES: Mapping[str, Rule] = {
    "feed": matching("an http URL or an absolute path", r"https?://[^/\s]\S*|/.*"),
    "host suffix": Rule("a name without a leading dot", lambda text: not text.startswith(".")),
    "idle connections": matching("auto or a whole number", r"auto|[0-9]{1,9}"),
    "listener": LISTENER,
    "mount path": matching(
        "a path outside /api/ that begins and ends with a slash, such as /coderapi/",
        r"/(?!api/)([A-Za-z0-9_-]+/)*",
    ),
    # Coder's server does not accept an address without a prefix length.
    "network": Rule(
        "a network such as 10.0.0.0/8, or an address",
        lambda text: ipaddress.ip_network(text, strict=False),
        _with_prefix_length,
    ),
    "PostgreSQL URL": POSTGRES_URL,
    "Redis URL": Rule(
        "a URL such as redis://host:6379/0",
        lambda text: text.startswith(("redis://", "rediss://", "unix://")),
    ),
    "secret": Rule(
        f"at least {MIN_SECRET_LENGTH} random characters, {MIN_SECRET_CHARACTERS} of them "
        "different, such as the output of `openssl rand -base64 48`",
        lambda text: len(text) >= MIN_SECRET_LENGTH and len(set(text)) >= MIN_SECRET_CHARACTERS,
    ),
    "semantic version": Rule(
        "a semantic version without a leading v, such as 2.34.1", semver.Version.is_valid
    ),
    "session token": matching(
        "a session token: 10 characters, a hyphen, and 22 characters",
        r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}",
    ),
    "SSH line": matching("key=value or key value", r"[^ =]+[ =].*"),
    "wildcard host": matching(
        "a pattern such as *.example.com or *-apps.example.com",
        r"\*[A-Za-z0-9-]*(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+(:[0-9]+)?",
    ),
}
