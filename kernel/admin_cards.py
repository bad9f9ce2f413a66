"""The cards on the admin's home page. An app registers its own in its module `admin_cards`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

logger = logging.getLogger(__name__)


class State(StrEnum):
    """How things are, as a word beside the value: colour alone would not reach everybody."""

    PLAIN = ""
    GOOD = "ok"
    NOTICE = "look"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: its name, what it is, how good that is, where more is to be read."""

    name: str
    value: str
    state: State = State.PLAIN
    link: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    title: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class _Registered:
    order: int
    title: str
    lines: Callable[[datetime], Sequence[Line]]


_registered: list[_Registered] = []


def register(title: str, lines: Callable[[datetime], Sequence[Line]], *, order: int) -> None:
    """Adds a card; `lines` gives what it says at a moment, for a bounded cost."""
    _registered.append(_Registered(order, title, lines))


def cards(now: datetime) -> list[Card]:
    """All cards in order. One whose facts cannot be read says so, and the others stand."""
    by_order = sorted(_registered, key=lambda entry: (entry.order, entry.title))
    return [Card(entry.title, _lines(entry, now)) for entry in by_order]


def _lines(entry: _Registered, now: datetime) -> Sequence[Line]:
    try:
        return entry.lines(now)
    except Exception:
        logger.exception("The card %s cannot be read", entry.title)
        return [Line("state", "cannot be read now", State.BAD)]


def ago(moment: datetime | None, *, now: datetime) -> str:
    """A time as people say it: `3 min ago`, `in 2 h`, `never`."""
    if moment is None:
        return "never"
    span = _span(abs(now - moment))
    if span == "":
        return "just now"
    return f"in {span}" if moment > now else f"{span} ago"


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= 2 * size or (seconds >= size and unit == "s"):
            return f"{seconds // size} {unit}"
    return ""
