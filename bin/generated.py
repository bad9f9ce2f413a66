"""Generates documents from the code, and compares the files with the code. See bin/documents."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import django

from bin.commands_reference import commands_reference
from bin.tables_reference import tables_reference
from coderapi.openapi.document import openapi_yaml
from kernel.http.wire import WireFormat
from options.catalogue import CATALOGUE, OWN_OPTIONS
from options.option import Group, Option, by_env
from options.reference import grouped, wrapped

INTRODUCTION = (
    "The settings of coderapi with their defaults. Copy this file to .env. To change a setting, "
    "remove the # before its line and edit the value. Do not put quotes or spaces around a value. "
    "Docker Compose reads .env automatically. For `coderapi`, set CODERAPI_ENV_FILE=.env. For "
    "systemd, use EnvironmentFile=. In a shell, run `set -a; . ./.env`."
)
CODERS = (
    "Options of Coder's server. You can set all of its environment variables here. docs/options.md "
    "lists them. The most important ones are:"
)
COMPOSITION = "Variables that only docker-compose.yml and docker/metrics.yml read."
# The options of Coder's server that .env.example lists, in this order.
CODERS_FIRST = (
    "CODER_ACCESS_URL",
    "CODER_HTTP_ADDRESS",
    "CODER_SECURE_AUTH_COOKIE",
    "CODER_STRICT_TRANSPORT_SECURITY",
    "CODER_PROXY_TRUSTED_HEADERS",
    "CODER_PROXY_TRUSTED_ORIGINS",
    "CODER_PG_CONN_MAX_OPEN",
    "CODER_API_RATE_LIMIT",
    "CODER_LOGGING_JSON",
    "CODER_PROMETHEUS_ENABLE",
    "CODER_UPDATE_CHECK",
)
# The variables in the two Compose files, where they appear as ${NAME:-default}. Each entry has the
# name, the default and the description.
COMPOSE_VARIABLES = (
    (
        "PROXY_HTTP",
        "127.0.0.1:8080",
        "The address and port on this machine at which the proxy serves HTTP.",
    ),
    (
        "PROXY_HTTPS",
        "127.0.0.1:8443",
        "The address and port on this machine at which the proxy serves HTTPS. It does so if "
        "docker/tls contains a certificate.",
    ),
    (
        "METRICS",
        "127.0.0.1:2112-2121",
        "The address and ports on this machine for metrics. Each replica of the service web uses "
        "one port (docker/metrics.yml).",
    ),
)
WIDTH = 98


type Entry = tuple[str, str, str]


def env_example() -> str:
    """Returns the content of `.env.example`.

    Each setting has a comment with its description and a line `#NAME=default`.
    """
    options = by_env(CATALOGUE)
    coders = [(name, options[name].default, options[name].description) for name in CODERS_FIRST]
    rule = f"# {'-' * (WIDTH - 2)}"
    own = [*_prose(INTRODUCTION), "", *_entries(map(_own_entry, OWN_OPTIONS))]
    others = [rule, *_prose(CODERS), "", *_entries(coders)]
    composition = [rule, *_prose(COMPOSITION), "", *_entries(COMPOSE_VARIABLES)]
    return "\n".join([*own, *others, *composition])


def _own_entry(option: Option) -> Entry:
    hint = f" {option.env}_FILE can name a file with the value." if option.secret else ""
    return option.env, option.default, option.description + hint


def _entries(entries: Iterable[Entry]) -> Iterator[str]:
    for name, default, meaning in entries:
        yield from (*_prose(meaning), f"#{name}={default}", "")


def _prose(text: str) -> list[str]:
    return wrapped(text, indent="# ", width=WIDTH)


def options_reference() -> str:
    """Returns the list of docs/options.md: a section for each group, with its options."""
    return "\n".join("\n".join(_section(*found)) for found in grouped(CATALOGUE))


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
    yield f"Type `{option.type.name}`{default}{secret}."


def _ways(option: Option) -> Iterator[str]:
    short = f" or `-{option.flag_shorthand}`" if option.flag_shorthand else ""
    yield f"`--{option.flag}`{short}"
    if option.env:
        yield f"`{option.env}`"
    if option.yaml:
        yield f"`{option.yaml_path}` in YAML"


# A document with a mark is generated only between "<!-- MARK: begin -->" and "<!-- MARK: end -->".
DOCUMENTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    ".env.example": ("", env_example),
    "docs/commands.md": ("commands", commands_reference),
    "docs/openapi.yml": ("", lambda: openapi_yaml(WireFormat.DOCUMENTED)),
    "docs/openapi-coderd.yml": ("", lambda: openapi_yaml(WireFormat.CODERD)),
    "docs/options.md": ("options", options_reference),
    "docs/tables.md": ("tables", tables_reference),
}


def differences(directory: Path, *, write: bool = False) -> Iterator[str]:
    """Yields a unified diff for each file that differs from the code. May also write the file."""
    for name, (mark, make) in DOCUMENTS.items():
        path = directory / name
        committed = path.read_text(encoding="utf-8") if path.exists() else ""
        made = make()
        if mark:
            begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
            before, _, rest = committed.partition(begin)
            made = f"{before}{begin}\n\n{made}\n{end}{rest.partition(end)[2]}"
        old, new = (text.splitlines(keepends=True) for text in (committed, made))
        if diff := "".join(difflib.unified_diff(old, new, str(path), f"{name}, generated")):
            if write:
                path.write_text(made, encoding="utf-8")
            yield diff


def main(action: str) -> None:
    django.setup()
    found = "\n".join(differences(Path(), write=action == "make"))
    if found and action == "check":
        sys.exit(f"{found}\nThe documents differ from the code. Run `make docs`.")


if __name__ == "__main__":
    main(sys.argv[1])
