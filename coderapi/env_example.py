"""The text of `.env.example`: every setting of our own, and those of Coder's that come first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from coderapi.own_settings import SETTINGS
from options.catalogue import CATALOGUE

FILE_NAME = ".env.example"

INTRODUCTION = (
    "The settings of coderapi, each with what it is without it. Copy this file to .env and take "
    "away the # before what you change. Docker Compose reads .env by itself; systemd does with "
    "EnvironmentFile=, a shell with `set -a; . ./.env`. Put no quotes or spaces around a value."
)
CODERS = (
    "Coder's options. All of its server's environment variables are understood: docs/options.md "
    "has them. These are the ones to look at first."
)
COMPOSITION = "For docker-compose.yml alone."
# The options of Coder's that one needs first, in this order.
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
# What docker-compose.yml puts in where it says ${NAME:-default}: name, default, meaning.
COMPOSE_VARIABLES = (
    ("PROXY_HTTP", "127.0.0.1:8080", "Where the proxy is reached on this machine by HTTP."),
    ("PROXY_HTTPS", "127.0.0.1:8443", "The same by HTTPS, once docker/tls has a certificate."),
)
WIDTH = 98


def render() -> str:
    """The whole file; each setting is a comment about it and a line `#NAME=default`."""
    return "\n".join([*_prose(INTRODUCTION), "", *_own(), *_coders(), *_composition()])


def _own() -> Iterator[str]:
    for setting in SETTINGS:
        hint = f" Or name a file that holds it in {setting.name}_FILE." if setting.secret else ""
        yield from _entry(setting.name, as_text(setting.default), setting.help + hint)


def _coders() -> Iterator[str]:
    yield from _heading(CODERS)
    options = {option.env: option for option in CATALOGUE}
    for name in CODERS_FIRST:
        yield from _entry(name, options[name].default, options[name].description)


def _composition() -> Iterator[str]:
    yield from _heading(COMPOSITION)
    for name, default, meaning in COMPOSE_VARIABLES:
        yield from _entry(name, default, meaning)


def as_text(default: Any) -> str:
    """A default as one would write it into the variable; nothing for None."""
    if isinstance(default, timedelta):
        hours = default // timedelta(hours=1)
        return f"{hours}h" if hours % 24 else f"{hours // 24}d"
    return "" if default is None else str(default)


def _entry(name: str, default: str, meaning: str) -> Iterator[str]:
    yield from _prose(meaning)
    yield f"#{name}={default}"
    yield ""


def _heading(text: str) -> Iterator[str]:
    yield f"# {'-' * (WIDTH - 2)}"
    yield from _prose(text)
    yield ""


def _prose(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
        break_long_words=False,
    )
