"""Parses command-line flags with the syntax of Coder's command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from options.catalogue import CATALOGUE
from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource
from options.sources.settings import Gathered
from options.values.scalars import Bool

_BY_FLAG = {option.flag: option for option in CATALOGUE}
_BY_LETTER = {option.flag_shorthand: option for option in CATALOGUE if option.flag_shorthand}


@dataclass(frozen=True, slots=True)
class ParsedFlags:
    """The flags of the catalogue in command-line order, and the other arguments.

    `settings` contains pairs of the flag's long name and its value. The value is None if the
    command line ends after a flag that needs a value.
    """

    settings: list[tuple[str, str | None]] = field(default_factory=list, repr=False)
    rest: list[str] = field(default_factory=list)


def parse_flags(argv: Sequence[str]) -> ParsedFlags:
    """Separates the flags of the catalogue from the other arguments.

    Accepts `--flag value`, `--flag=value`, `-f value`, `-f=value` and `-fvalue`. A boolean flag
    needs no value, and accepts a value only after `=`. Flags cannot be abbreviated. Arguments after
    `--` are not parsed.
    """
    parsed = ParsedFlags()
    arguments = iter(argv)
    for argument in arguments:
        if argument == "--":
            parsed.rest.extend([argument, *arguments])
        elif argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            if name not in _BY_FLAG:
                parsed.rest.append(argument)
            else:
                given = value if equals else _following_value(_BY_FLAG[name], arguments)
                parsed.settings.append((name, given))
        elif argument.startswith("-") and argument != "-":
            _read_short(argument, arguments, parsed)
        else:
            parsed.rest.append(argument)
    return parsed


def _read_short(argument: str, arguments: Iterator[str], parsed: ParsedFlags) -> None:
    letters = argument[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = _BY_LETTER.get(letter)
        if option is None:
            parsed.rest.append(f"-{letter}{letters}")
            return
        if letters.startswith("=") or (letters and not isinstance(option.type, Bool)):
            parsed.settings.append((option.flag, letters.removeprefix("=")))
            return
        parsed.settings.append((option.flag, _following_value(option, arguments)))


def _following_value(option: Option, arguments: Iterator[str]) -> str | None:
    return "true" if isinstance(option.type, Bool) else next(arguments, None)


def read_flags(flags: Sequence[tuple[str, str | None]]) -> Gathered:
    gathered = Gathered(ValueSource.FLAG)
    for name, value in flags:
        option = _BY_FLAG.get(name)
        if option is None:
            gathered.errors.append(unknown_flag(f"--{name}"))
        elif value is None:
            accepted = option.type.accepted
            place = f"--{option.flag}"
            gathered.refuse(place, "needs a value", option=option.name, accepted=accepted)
        else:
            gathered.add(option, f"--{option.flag}", value)
    return gathered


def unknown_flag(argument: str) -> OptionError:
    """Returns the error for an unknown flag. The error does not contain the flag's value."""
    name = argument.partition("=")[0]
    nearest = nearest_name(name, (f"--{flag}" for flag in _BY_FLAG))
    return OptionError("unknown flag", name, source=ValueSource.FLAG, nearest=nearest)
