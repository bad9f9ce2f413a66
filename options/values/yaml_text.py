"""Values as YAML on one line, which reads back to the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What stays itself without quotes in any YAML reader: not a number, a truth value, null or a date.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def flow_text(value: object) -> str:
    """JSON with YAML's escapes, for values with an inner shape."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: {flow_text(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    return str(value)


def scalar(text: str) -> str:
    """The text without quotes where nobody can misread it, nothing for the empty text."""
    if not text or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS):
        return text
    return quoted(text)


def quoted(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}"
