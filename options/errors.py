"""The errors for mistakes in a configuration. They contain the details to fix them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from options.option import ValueSource

_MAX_SHOWN = 120
_SCHEME = re.compile(r"[A-Za-z0-9+.-]{1,20}://")


@dataclass(frozen=True, slots=True)
class OptionError:
    """One mistake in a configuration.

    `place` is the variable, the flag, or file:line:column. `shown` is the invalid value as returned
    by `presentable`, or "" if the value is secret. `option` is the option's name, or "" if the
    mistake does not concern a known option. `nearest` is the most similar known name, or "".
    """

    problem: str
    place: str
    option: str = ""
    source: ValueSource = ValueSource.UNSET
    shown: str = ""
    accepted: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        named = self.option and self.option != self.place
        head = f"{self.place}: {self.option}: " if named else f"{self.place}: "
        text = f"{self.shown} " if self.shown else ""
        accepted = f"; accepted: {self.accepted}" if self.accepted else ""
        nearest = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{head}{text}{self.problem}{accepted}{nearest}"


class ConfigurationError(Exception):
    """The mistakes and warnings of all sources. `str()` returns one line for each mistake."""

    def __init__(self, errors: Sequence[OptionError], *, warnings: Sequence[str] = ()) -> None:
        super().__init__(errors)
        self.errors = tuple(errors)
        self.warnings = tuple(warnings)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def masked(text: str) -> str:
    """Masks everything between the URL scheme and the last @, because it may be a password.

    This also works for malformed URLs.
    """
    before, at, after = text.rpartition("@")
    if not at:
        return text
    scheme = _SCHEME.match(before)
    return f"{scheme[0] if scheme else ''}***@{after}"


def presentable(text: str) -> str:
    """Returns the string for an error message: masked, shortened and quoted."""
    shown = masked(text)
    return repr(shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "…")


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Returns the most similar known name, or "" if none is similar enough."""
    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)
    return folded[matches[0]] if matches else ""
