"""Generates the help of the command-line flags from the catalogue."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values.scalars import Bool

_UNDER_FLAG = " " * 10


def grouped(options: Sequence[Option]) -> Iterator[tuple[Group | None, list[Option]]]:
    """Yields each group with its options. The options without a group come first."""
    for group in (None, *GROUPS):
        if members := [option for option in options if option.group == group]:
            yield group, members


def flag_help() -> str:
    """Returns the help of all flags except hidden ones, with a block for each group."""
    shown = [option for option in CATALOGUE if not option.hidden]
    return "\n\n".join("\n".join(_block(*found)) for found in grouped(shown)) + "\n"


def _block(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"{group.path if group else 'General'}:"
    if group:
        yield from wrapped(group.description, indent="  ")
    for option in options:
        yield ""
        shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
        value = "" if isinstance(option.type, Bool) else f" {option.type.name}"
        variable = f", ${option.env}" if option.env else ""
        yield f"  {shorthand}--{option.flag}{value}{variable}"
        default = f" (default: {option.default})" if option.default else ""
        yield from wrapped(option.description + default, indent=_UNDER_FLAG)


def wrapped(text: str, *, indent: str, width: int = 92) -> list[str]:
    """Returns the text as indented lines of at most `width` characters. Does not break words."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
