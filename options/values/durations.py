"""Durations in Go's notation with days and weeks, as integer nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.durations import DurationError, format_duration, parse_duration
from options.values.base import ValueRefusedError, ValueType

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Duration(ValueType[int]):
    name = "duration"
    accepted = "a duration such as 90s, 1h30m, 7d or 2w, or 0"

    @property
    def zero(self) -> int:
        return 0

    def parse(self, text: str) -> int:
        if len(text) > _LONGEST:
            raise ValueRefusedError("is too long for a duration")
        try:
            return parse_duration(text)
        except DurationError as error:
            raise ValueRefusedError(str(error)) from None

    def format(self, value: int) -> str:
        return format_duration(value)
