"""Parses times and booleans from strings."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# RFC 3339, section 5.6, and PostgreSQL's own format, in which the offset may lack minutes.
# Python accepts more formats, for example times without an offset.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d(:\d\d)?)", re.ASCII)
TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_time(text: object) -> datetime:
    """Parses an RFC 3339 time. Returns it in UTC, truncated to microseconds.

    Raises: ValueError. Its message is written to follow the invalid value, for example "is out of
    range".
    """
    try:
        if isinstance(text, str) and _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None
    except ValueError:
        pass
    raise ValueError("is not a time such as 2026-01-31T12:00:00Z, with its time zone")


def parse_bool(text: str) -> bool:
    """Parses a boolean, like Go's strconv.ParseBool. Raises: ValueError."""
    if text in TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("is neither true nor false")
