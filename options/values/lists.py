"""Lists of strings: a CSV record in the environment and in flags, or a sequence in YAML."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from yaml import Node, SequenceNode

from options.values.base import ValueRefusedError, ValueType, scalar_text
from options.values.rules import Rule

_FIELD = r'("(?:[^"]++|"")*+"|[^",\n]*+)'
_FIELDS = re.compile(rf"(?:\A|,){_FIELD}")
_RECORD = re.compile(rf"{_FIELD}(?:,{_FIELD})*+(?=\n|\Z)")


@dataclass(frozen=True, slots=True)
class TextList(ValueType[list[str] | None]):
    """A list of strings. An empty list is represented by `None`.

    The lists from the environment and from flags are concatenated. An empty flag discards
    the values before it.
    """

    rule: Rule | None = None
    name = "string-array"
    zero = None

    @property
    def accepted(self) -> str:  # type: ignore[override]  # Depends on the rule.
        each = f", each {self.rule.accepted}" if self.rule else ""
        return f"values separated by commas{each}; put values with a comma in double quotes"

    def parse(self, text: str) -> list[str] | None:
        return self._checked(parse_record(text))

    def read(self, node: Node) -> list[str] | None:
        if not isinstance(node, SequenceNode):
            return self.parse(scalar_text(node))
        return self._checked([scalar_text(item) for item in node.value] or None)

    def merge(self, old: list[str] | None, new: list[str] | None) -> list[str] | None:
        return None if new is None else [*(old or ()), *new]

    def format(self, value: list[str] | None) -> str:
        return format_record(value or [])

    def _checked(self, values: list[str] | None) -> list[str] | None:
        for value in values or ():
            if self.rule and not self.rule.is_met(value):
                raise ValueRefusedError("is not accepted", shown=value)
        return values and [self.rule.normalize(value) if self.rule else value for value in values]


def parse_record(text: str) -> list[str] | None:
    """Returns the fields of the first CSV record, or None for input without a record.

    Source: the reader of Go's encoding/csv with its default settings.
    """
    lines = text.replace("\r\n", "\n").removesuffix("\r").lstrip("\n")
    if not lines:
        return None
    record = _RECORD.match(lines)
    if not record:
        raise ValueRefusedError("has a double quote that is not around a whole value")
    fields = _FIELDS.findall(record[0])
    return [f[1:-1].replace('""', '"') if f.startswith('"') else f for f in fields]


def format_record(values: list[str]) -> str:
    """Formats the values as a CSV record. `parse_record` returns the same values for the record."""
    record = io.StringIO()
    # For a value that is not iterable, csv would raise an error that is not a TypeError.
    csv.writer(record).writerow(list(values))
    return record.getvalue().removesuffix("\r\n")
