"""The catalogue's flags for people: help on the command line, under Coder's headings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values import Bool

_WIDTH = 92
_UNDER_FLAG = " " * 10
_UNGROUPED = "General"


def flag_help(catalogue: Sequence[Option] = CATALOGUE) -> str:
    """One block for each group, those without a group first. Hidden options are left out."""
    shown = [option for option in catalogue if option.flag and not option.hidden]
    blocks = []
    for group in (None, *GROUPS):
        options = [option for option in shown if option.group == group]
        if options:
            blocks.append("\n".join(_block(group, options)))
    return "\n\n".join(blocks) + "\n"


def _block(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"{group.path if group else _UNGROUPED}:"
    if group:
        yield from _wrapped(group.description, indent="  ")
    for option in options:
        yield ""
        yield f"  {_spellings(option)}"
        default = f" (default: {option.default})" if option.default else ""
        yield from _wrapped(option.description + default, indent=_UNDER_FLAG)


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {option.type.name}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


def _wrapped(text: str, *, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
