"""Flags in the manner of Coder's command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from options.catalogue import CATALOGUE
from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource, by_flag
from options.sources.settings import Gathered, Setting
from options.values import Bool


@dataclass(frozen=True, slots=True)
class ParsedFlags:
    """The catalogue's flags in the order given, and all other arguments.

    A flag stands under its long name; its value is None where the command line ends before it.
    """

    settings: tuple[tuple[str, str | None], ...] = field(repr=False)
    rest: tuple[str, ...]


def parse_flags(argv: Sequence[str], *, catalogue: Sequence[Option] = CATALOGUE) -> ParsedFlags:
    """What the arguments say.

    `--flag value`, `--flag=value`, `-f value`, `-f=value`, `-fvalue`; a bool flag needs no value
    and takes one only after `=`. Names are never abbreviated. Arguments after `--` are no flags.
    """
    known = by_flag(catalogue)
    settings: list[tuple[str, str | None]] = []
    rest: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--":
            rest += [argument, *arguments]
        elif argument.startswith("--"):
            _read_long(argument, arguments, known=known, settings=settings, rest=rest)
        elif argument.startswith("-") and argument != "-":
            _read_short(argument, arguments, known=known, settings=settings, rest=rest)
        else:
            rest.append(argument)
    return ParsedFlags(tuple(settings), tuple(rest))


def _read_long(
    argument: str,
    arguments: Iterator[str],
    *,
    known: Mapping[str, Option],
    settings: list[tuple[str, str | None]],
    rest: list[str],
) -> None:
    name, equals, value = argument[2:].partition("=")
    option = known.get(name)
    if option is None or name != option.flag:
        rest.append(argument)
    elif equals:
        settings.append((name, value))
    else:
        settings.append((name, _following_value(option, arguments)))


def _read_short(
    argument: str,
    arguments: Iterator[str],
    *,
    known: Mapping[str, Option],
    settings: list[tuple[str, str | None]],
    rest: list[str],
) -> None:
    letters = argument[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = known.get(letter)
        if option is None:
            rest.append(f"-{letter}{letters}")
            return
        if letters.startswith("=") or (letters and not isinstance(option.type, Bool)):
            settings.append((option.flag, letters.removeprefix("=")))
            return
        settings.append((option.flag, _following_value(option, arguments)))


def _following_value(option: Option, arguments: Iterator[str]) -> str | None:
    return "true" if isinstance(option.type, Bool) else next(arguments, None)


def read_flags(flags: Sequence[tuple[str, str | None]], *, catalogue: Sequence[Option]) -> Gathered:
    known = by_flag(catalogue)
    gathered = Gathered()
    for name, value in flags:
        option = known.get(name)
        if option is None:
            gathered.errors.append(unknown_flag(f"--{name}", catalogue=catalogue))
        elif value is None:
            gathered.errors.append(_lacks_value(option))
        else:
            place = f"--{option.flag}"
            gathered.settings.append(Setting(option, ValueSource.FLAG, place, value))
    return gathered


def unknown_flag(argument: str, *, catalogue: Sequence[Option] = CATALOGUE) -> OptionError:
    """The error for an argument that looks like a flag and is none; its value is not repeated."""
    name = argument.partition("=")[0]
    nearest = nearest_name(name, (f"--{option.flag}" for option in catalogue if option.flag))
    return OptionError("no such flag", name, source=ValueSource.FLAG, nearest=nearest)


def _lacks_value(option: Option) -> OptionError:
    return OptionError(
        "lacks its value",
        f"--{option.flag}",
        option=option.name,
        source=ValueSource.FLAG,
        accepted=option.type.accepted,
    )
