"""Generates the list of commands in docs/commands.md, with their arguments and exit statuses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import cast

from django.core.management import get_commands, load_command_class

from kernel.commands import BaseCommand, shown_arguments
from kernel.release import PROGRAM

# The apps of each section, and the sentence after its heading.
_SECTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "Running": (
        ("coderapi", "jobs"),
        "[Operations](operations.md) shows how to install, back up and upgrade the service. "
        "[Scheduling](scheduling.md) lists the jobs.",
    ),
    "Configuration": (
        ("deployment",),
        "Each start with a changed configuration adds a revision, and so does a change in a "
        "[Coder deployment](operations.md#the-configuration-of-a-coder-deployment).",
    ),
    "Users and tokens": (
        ("users", "tokens", "audit"),
        "[Tokens](tokens.md) explains the policies.",
    ),
    "Beside Coder": (
        ("beside",),
        "[Beside Coder](beside-coder.md) explains the setup, and [Tokens]"
        "(tokens.md#policy-on-the-tokens-of-a-coder-deployment) the policy on Coder's tokens.",
    ),
    "CSP reports": (
        ("csp",),
        "[CSP reports](csp.md) and [Triage](triage.md) explain the reports and their groups.",
    ),
    "Alerts": (("alerts",), "[Alerts](alerts.md) explains the channels."),
    "Stats": (
        ("stats",),
        "[Deployment stats](stats.md) explains the statistics, and the "
        "[formats of files](stats.md#files).",
    ),
}


def commands_reference() -> str:
    """Returns the list of docs/commands.md: a section for each group of apps."""
    commands = get_commands()
    return "\n".join(
        "\n".join(_section(title, about, sorted(n for n in commands if commands[n] in apps)))
        for title, (apps, about) in _SECTIONS.items()
    )


def _section(title: str, about: str, names: list[str]) -> Iterator[str]:
    yield f"## {title}\n\n{about}\n"
    for name in names:
        command = load_command_class(get_commands()[name], name)
        yield from _command(name, cast("BaseCommand", command))


def _command(name: str, command: BaseCommand) -> Iterator[str]:
    about, _, actions = command.about.partition("\n\nActions:\n")
    yield f"### {name}\n\n{about}\n"
    if actions:
        yield from map(_action, actions.splitlines())
    else:
        yield from _arguments(command.create_parser(PROGRAM, name))
    for example in command.examples.splitlines():
        yield f"* Example: `{f'{PROGRAM} {name} {example}'.rstrip()}`"
    yield ""


def _action(line: str) -> str:
    name, _, text = line.strip().partition(": ")
    return f"* `{name}`: {text}"


def _arguments(parser: argparse.ArgumentParser, under: str = "") -> Iterator[str]:
    for each in shown_arguments(parser):
        if isinstance(each.choices, Mapping):
            for name, subparser in each.choices.items():
                yield f"* `{name}`: {subparser.description}"
                yield from _arguments(subparser, "  ")
        else:
            yield f"{under}* `{_spelling(each)}`: {'; '.join(_facts(each))}"


def _spelling(argument: argparse.Action) -> str:
    value = argument.metavar or argument.dest.upper()
    value = " ".join(value) if isinstance(value, tuple) else value
    value = f"{value}…" if argument.nargs in {"*", "+"} else value
    names = "`, `".join(argument.option_strings)
    return names if argument.nargs == 0 else f"{names} {value}".strip()


def _facts(argument: argparse.Action) -> Iterator[str]:
    yield argument.help or ""
    if argument.choices and argument.metavar is None:
        yield f"one of {', '.join(argument.choices)}"
    if argument.default and argument.nargs != 0 and "default: " not in (argument.help or ""):
        yield f"default: {argument.default}"
    if argument.option_strings and argument.required:
        yield "required"
