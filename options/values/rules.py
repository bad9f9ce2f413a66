"""What some texts, or each item of some lists, must look like beyond their type."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


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


NETWORK = Rule("an address or a network such as 10.0.0.0/8", _is_network)

WILDCARD_HOST = Rule(
    "a pattern such as *.example.com or *-apps.example.com",
    _matches(r"\*[A-Za-z0-9-]*(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+(:[0-9]+)?"),
)

HOST_SUFFIX = Rule("a name without a leading dot", lambda text: not text.startswith("."))

SSH_LINE = Rule("key=value or key value", _matches(r"[^ =]+[ =].*"))

IDLE_CONNECTIONS = Rule("auto or a whole number", _matches(r"auto|[0-9]{1,9}"))
