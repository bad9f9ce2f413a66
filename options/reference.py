"""Generates docs/options.md and the help of the command-line flags from the catalogue."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values.scalars import Bool

_UNDER_FLAG = " " * 10


def options_reference() -> str:
    """Returns the list of docs/options.md: a section for each group, with its options."""
    return "\n".join("\n".join(_section(*found)) for found in _grouped(CATALOGUE))


def _grouped(options: Sequence[Option]) -> Iterator[tuple[Group | None, list[Option]]]:
    """Yields each group with its options. The options without a group come first."""
    for group in (None, *GROUPS):
        if members := [option for option in options if option.group == group]:
            yield group, members


def _section(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"## {group.path if group else 'Without a group'}\n"
    if group:
        yield f"{group.description}\n"
    for option in options:
        yield f"### {option.name}\n"
        yield f"{option.description}\n"
        yield from (f"* {fact}" for fact in _facts(option))
        yield ""


def _facts(option: Option) -> Iterator[str]:
    obeyed = "**Obeyed**." if option.obeyed else "*Reported*."
    yield f"{obeyed} {option.remark}".rstrip()
    if option.use_instead:
        yield f"Deprecated: use {' and '.join(option.use_instead)}."
    elif option.deprecated:
        yield "Deprecated. This option is ignored."
    yield f"Set by {', '.join(_ways(option))}."
    default = f", default `{option.default}`" if option.default else ""
    secret = ", secret" if option.secret else ""
    yield f"Type `{_type_name(option)}`{default}{secret}."


def _ways(option: Option) -> Iterator[str]:
    short = f" or `-{option.flag_shorthand}`" if option.flag_shorthand else ""
    yield f"`--{option.flag}`{short}"
    if option.env:
        yield f"`{option.env}`"
    if option.yaml:
        yield f"`{option.yaml_path}` in YAML"


def flag_help() -> str:
    """Returns the help of all flags except hidden ones, with a block for each group."""
    shown = [option for option in CATALOGUE if not option.hidden]
    return "\n\n".join("\n".join(_block(*found)) for found in _grouped(shown)) + "\n"


def _block(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"{group.path if group else 'General'}:"
    if group:
        yield from wrapped(group.description, indent="  ")
    for option in options:
        yield ""
        yield f"  {_spellings(option)}"
        default = f" (default: {option.default})" if option.default else ""
        yield from wrapped(option.description + default, indent=_UNDER_FLAG)


def _type_name(option: Option) -> str:
    """Returns the type's name. Removes the backslash that Coder writes before each `|`."""
    return option.type.name.replace("\\|", "|")


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {_type_name(option)}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


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
