"""The table of `manage.py options`: the effective configuration, one row an option."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from options.configuration import Configuration
from options.errors import ConfigurationError, OptionError, nearest_name
from options.option import Option, ValueSource
from options.redaction import without_secrets

_SECRET = "(secret)"  # noqa: S105  # Shown instead of one.
_MAX_VALUE = 60
_HEADINGS = ("option", "value", "source", "set by")


@dataclass(frozen=True, slots=True)
class Row:
    """`value` never holds a secret; `place` is the variable, the flag or file:line:column."""

    name: str
    value: str
    source: str
    place: str


def option_rows(
    configuration: Configuration, *, changed: bool = False, names: Sequence[str] = ()
) -> list[Row]:
    """Returns rows in the options' order: all, those that somebody set, or those that are named.

    An option is named as in the documents, or by its variable, flag, YAML path or JSON path.

    Raises: ConfigurationError when a name is unknown.
    """
    wanted = (
        _wanted(configuration, names) if names else {item.name for item in configuration.options}
    )
    weak = {ValueSource.UNSET, ValueSource.DEFAULT}
    return [
        _row(option, configuration)
        for option in configuration.options
        if option.name in wanted
        and not (changed and configuration.sources[option.json_path] in weak)
    ]


def table(rows: Sequence[Row]) -> str:
    """Returns the rows under headings, in columns."""
    cells = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cells(row: Row) -> tuple[str, str, str, str]:
    value = row.value if len(row.value) <= _MAX_VALUE else row.value[: _MAX_VALUE - 1] + "…"
    return row.name, value, row.source, row.place


def _row(option: Option, configuration: Configuration) -> Row:
    path = option.json_path
    place = configuration.places[path]
    return Row(option.name, _shown(option, configuration), configuration.sources[path], place)


def _shown(option: Option, configuration: Configuration) -> str:
    value = configuration[option.json_path]
    if option.secret:
        return _SECRET if value else ""
    if value == option.type.zero:
        return "" if value is not False else "false"
    return _printable(option.type.format(without_secrets(value)))


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _wanted(configuration: Configuration, names: Sequence[str]) -> set[str]:
    known = {
        spelling.casefold(): option.name
        for option in configuration.options
        for spelling in _spellings(option)
    }
    unknown = [name for name in names if name.casefold() not in known]
    if unknown:
        raise ConfigurationError([_unknown(name, known) for name in unknown])
    return {known[name.casefold()] for name in names}


def _unknown(name: str, known: dict[str, str]) -> OptionError:
    nearest = known.get(nearest_name(name, known), "")
    return OptionError("no such option", name, nearest=nearest)


def _spellings(option: Option) -> Iterator[str]:
    yield from filter(None, (option.json_path, option.yaml_path, option.env, option.flag))
    if option.flag:
        yield f"--{option.flag}"
    yield option.name
