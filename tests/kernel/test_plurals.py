"""Messages use `plural`, so that no text says "1 lines"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.support.processes import PROJECT

# A number and a plural noun: "{len(rows)} bad lines".
PLURAL = re.compile(r" (?:[a-z]+ )?(?!is\b|has\b|was\b|does\b)[a-z]+s\b")
FIXED = re.compile(r"%d (?:[a-z]+ )?[a-z]+s\b|[a-z]\(s\)")
NUMBERS = {"amount", "changed", "count", "deleted", "dropped", "found", "n", "number", "rows"}
# Packages whose text only developers see.
OTHERS = {"tests", "bench"}


def is_number(value: ast.expr) -> bool:
    """Returns whether an expression in an f-string is a number of things, by its name."""
    if isinstance(value, ast.Call):
        function = value.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        return name in {"len", "sum", "count", "total"}
    return getattr(value, "attr", getattr(value, "id", "")) in NUMBERS


def fixed_plurals(source: str) -> Iterator[str]:
    """Yields the texts in which the noun after a number is a plural, also after 1."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for one, following in pairwise(node.values):
                if (
                    isinstance(one, ast.FormattedValue)
                    and one.conversion == -1
                    and is_number(one.value)
                    and PLURAL.match(str(getattr(following, "value", "")))
                ):
                    yield ast.unparse(node)
        elif isinstance(text := getattr(node, "value", None), str) and FIXED.search(text):
            yield text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('f"{len(rows)} lines"', 1),
        ('f"has {changed} live tokens."', 1),
        ('f"{groups.count():,} groups"', 1),
        ('log.warning("dropped %d responses", dropped)', 1),
        ('"1 line(s)"', 1),
        ('f"The limit is {MAX_REPORTS} reports, {name!r} is known, and {found} is new"', 0),
        ("f\"{plural(len(rows), 'line')} set aside, tokens: {found}\"", 0),
    ],
)
def test_fixed_plurals_are_found(source: str, expected: int) -> None:
    assert len(list(fixed_plurals(source))) == expected


def test_messages_use_plural() -> None:
    apps = [app.parent for app in PROJECT.glob("*/__init__.py") if app.parent.name not in OTHERS]
    files = [file for app in apps for file in app.rglob("*.py")]
    assert len(files) > 200
    found = {str(file): list(fixed_plurals(file.read_text())) for file in files}
    assert {file: texts for file, texts in found.items() if texts} == {}
