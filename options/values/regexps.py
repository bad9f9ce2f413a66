"""Regular expressions of the RE2 dialect, kept as their source."""

from __future__ import annotations

import re
from dataclasses import dataclass

import re2

from options.values.base import ValueRefusedError, ValueType

# \Q…\E quotes; any other backslash takes the next character with it.
_ESCAPES = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Regexp(ValueType[str]):
    name = "regexp"
    accepted = "a regular expression in RE2 syntax"

    @property
    def zero(self) -> str:
        return ""

    def parse(self, text: str) -> str:
        # The library takes \C, a single byte, which Go's own does not know.
        if any(escape[1] == "C" for escape in _ESCAPES.finditer(text)):
            raise ValueRefusedError(r"uses \C, which is not supported")
        options = re2.Options()
        options.log_errors = False  # The library would print the pattern to stderr.
        try:
            re2.compile(text, options)
        except re2.error as error:
            raise ValueRefusedError(f"is not a regular expression: {_reason(error)}") from error
        return text

    def format(self, value: str) -> str:
        return value


def _reason(error: Exception) -> str:
    """The library's words without the part of the pattern that it appends to them."""
    reason = error.args[0] if error.args else b"refused"
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return text.partition(": ")[0]
