"""Types of single values: booleans, integers, strings, enumerations, durations and patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass

import re2

from kernel.text.durations import DurationError, format_duration, parse_duration
from kernel.text.values import parse_bool
from options.values.base import ValueRefusedError, ValueType
from options.values.rules import Rule

_DECIMAL = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)
# The maximum length of a number. Python needs much time to convert very long numbers, or rejects
# them.
_MAX_DIGITS = 400
_SIZE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(
    rf"0|(?P<number>[0-9]{{1,12}}(?:\.[0-9]{{1,3}})?)(?P<unit>{'|'.join(_SIZE_UNITS)})"
)


@dataclass(frozen=True, slots=True)
class Bool(ValueType[bool]):
    name = "bool"
    accepted = "true or false (also 1, t, T, True, TRUE, 0, f, F, False, FALSE)"
    zero = False

    def parse(self, text: str) -> bool:
        try:
            # As in Coder, an empty value means false, so an empty YAML value disables an option.
            return bool(text) and parse_bool(text)
        except ValueError:
            raise ValueRefusedError("is not a boolean") from None

    def format(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Integer(ValueType[int]):
    """A signed 64-bit integer, with optional bounds."""

    minimum: int = _INT64[0]
    maximum: int = _INT64[-1]
    name = "int"
    zero = 0

    @property
    def accepted(self) -> str:  # type: ignore[override]  # Depends on the bounds.
        if (self.minimum, self.maximum) == (_INT64[0], _INT64[-1]):
            return "a whole number"
        if self.maximum == _INT64[-1]:
            return f"a whole number of at least {self.minimum}"
        return f"a whole number from {self.minimum} to {self.maximum}"

    def parse(self, text: str) -> int:
        if not _DECIMAL.fullmatch(text):
            raise ValueRefusedError("is not a decimal number")
        number = int(text) if len(text) <= _MAX_DIGITS else 2**63
        if number not in _INT64:
            raise ValueRefusedError("does not fit into 64 bits")
        if not self.minimum <= number <= self.maximum:
            raise ValueRefusedError("is out of range")
        return number


@dataclass(frozen=True, slots=True)
class Text(ValueType[str]):
    rule: Rule | None = None
    name = "string"
    zero = ""

    @property
    def accepted(self) -> str:  # type: ignore[override]  # Depends on the rule.
        return self.rule.accepted if self.rule else "any text"

    def parse(self, text: str) -> str:
        if text and self.rule and not self.rule.is_met(text):
            raise ValueRefusedError("is not accepted")
        return text


@dataclass(frozen=True, slots=True)
class Choice(ValueType[str]):
    """An enumeration. Ignores case when it validates a value, and does not change the case."""

    choices: tuple[str, ...]
    zero = ""

    @property
    def name(self) -> str:  # type: ignore[override]  # Lists the choices.
        return f"enum[{'|'.join(self.choices)}]"

    @property
    def accepted(self) -> str:  # type: ignore[override]  # Lists the choices.
        return f"one of {', '.join(self.choices)}"

    def parse(self, text: str) -> str:
        if text.lower() not in {choice.lower() for choice in self.choices}:
            raise ValueRefusedError("is not one of the choices")
        return text


@dataclass(frozen=True, slots=True)
class Duration(ValueType[int]):
    """A duration in Go's notation, plus days and weeks. Units: integer nanoseconds."""

    signed: bool = True
    name = "duration"
    accepted = "a duration such as 90s, 1h30m, 7d or 2w, or 0"
    zero = 0

    def parse(self, text: str) -> int:
        try:
            nanoseconds = parse_duration(text)
        except DurationError as error:
            raise ValueRefusedError(str(error)) from None
        if nanoseconds < 0 and not self.signed:
            raise ValueRefusedError("must not be negative")
        return nanoseconds

    def format(self, value: int) -> str:
        return format_duration(value)


@dataclass(frozen=True, slots=True)
class Size(ValueType[int]):
    """A size with its unit. Units: integer bytes."""

    name = "size"
    accepted = "a size such as 512MiB, 10GiB or 1.5TiB, or 0"
    zero = 0

    def parse(self, text: str) -> int:
        found = _SIZE.fullmatch(text)
        if found is None:
            raise ValueRefusedError("lacks a unit" if _DECIMAL.fullmatch(text) else "is not a size")
        number = round(float(found["number"]) * _SIZE_UNITS[found["unit"]]) if found["unit"] else 0
        if number not in _INT64:
            raise ValueRefusedError("does not fit into 64 bits")
        return number

    def format(self, value: int) -> str:
        if not value:
            return "0"
        size, unit = max((size, unit) for unit, size in _SIZE_UNITS.items() if value % size == 0)
        return f"{value // size}{unit}"


@dataclass(frozen=True, slots=True)
class Regexp(ValueType[str]):
    name = "regexp"
    accepted = "a regular expression in RE2 syntax"
    zero = ""

    def parse(self, text: str) -> str:
        options = re2.Options()
        options.log_errors = False  # By default, re2 prints invalid patterns to stderr.
        try:
            re2.compile(text, options)
        except re2.error as error:
            # The message of re2 has a part of the pattern after a colon.
            reason = error.args[0].decode("utf-8", "replace").partition(": ")[0]
            raise ValueRefusedError(f"is not a regular expression: {reason}") from error
        return text
