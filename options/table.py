"""Builds the tables of `coderapi options`, with a row for each option and setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from options.catalogue import OWN_OPTIONS
from options.configuration import Configuration
from options.errors import ConfigurationError, OptionError, nearest_name
from options.option import Option, ValueSource
from options.redaction import SECRET, without_secrets

_MAX_VALUE = 60
_OWN = "Settings of coderapi, from environment variables only:"


@dataclass(frozen=True, slots=True)
class Row:
    """A row for one option or setting. `value` contains no secret.

    `place` is the variable, the flag or file:line:column that sets the value.
    """

    option: Option
    value: str
    source: ValueSource
    place: str


def option_rows(
    configuration: Configuration, *, changed: bool = False, names: Sequence[str] = ()
) -> list[Row]:
    """Returns the rows of Coder's options in Coder's order, followed by our own settings.

    With `changed`, only options that are set are returned. With `names`, only the named options are
    returned. A name can be an option's name, variable, flag, YAML path or JSON path.

    Raises: ConfigurationError if a name is unknown.
    """
    options = (*configuration.options, *OWN_OPTIONS)
    wanted = _wanted(options, names)
    return [
        Row(
            option,
            _shown(option, configuration),
            configuration.sources[option.json_path],
            configuration.places[option.json_path],
        )
        for option in options
        if option in wanted and not (changed and not configuration.places[option.json_path])
    ]


def tables(rows: Sequence[Row]) -> str:
    """Returns the rows as text: a table of Coder's options and a table of our own settings."""
    coders = [row for row in rows if not row.option.own]
    own = [row for row in rows if row.option.own]
    parts = [_table("option", coders)] if coders or not own else []
    if own:
        parts.append(f"{_OWN}\n\n{_table('setting', own)}")
    return "\n\n".join(parts)


def _table(kind: str, rows: Sequence[Row]) -> str:
    cells = [(kind, "value", "source", "set by")]
    for row in rows:
        is_long = len(row.value) > _MAX_VALUE
        value = f"{row.value[: _MAX_VALUE - 1]}…" if is_long else row.value
        cells.append((row.option.name, value, row.source, row.place))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _shown(option: Option, configuration: Configuration) -> str:
    value = configuration[option.json_path]
    if option.secret and configuration.places[option.json_path]:
        return SECRET
    if value == option.type.zero:
        return "" if value is not False else "false"
    text = option.type.format(without_secrets(value))
    return text if text.isprintable() else repr(text)


def _wanted(options: Sequence[Option], names: Sequence[str]) -> set[Option]:
    spellings = {
        spelling: option
        for option in options
        for spelling in (option.json_path, option.yaml_path, option.env, option.flag, option.name)
    }
    known = {spelling.casefold(): option for spelling, option in spellings.items() if spelling}
    wanted = {name: known.get(name.removeprefix("--").casefold()) for name in names}
    unknown = [
        OptionError("no such option", name, nearest=nearest_name(name, spellings))
        for name, option in wanted.items()
        if option is None
    ]
    if unknown:
        raise ConfigurationError(unknown)
    return {option for option in wanted.values() if option} or set(options)
