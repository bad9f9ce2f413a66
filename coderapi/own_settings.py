"""Our own environment variables, as data; `.env.example` is held to them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import semver
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

from kernel.durations import parse_duration
from kernel.http.wire import Wire

# Handed from the supervisor to its children; nobody sets them by hand.
INTERNAL = ("CODERAPI_PRIVATE_DATABASE_URL", "CODERAPI_BOUND_URL")


@dataclass(frozen=True, slots=True)
class OwnSetting:
    """One variable: how its text becomes a value, what it is without, and what it is for."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False


_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")


def database_url(text: str) -> str:
    """A PostgreSQL URL. A keyword DSN is refused, and never repeated: it may hold a password."""
    form = "must be a URL such as postgresql://user@host:5432/database"
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError(form)
    hosts = urlsplit(text).netloc.rpartition("@")[2]
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ValueError(f"{form}; a port is a number")
    return text


def cache_url(text: str) -> str:
    if urlsplit(text).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must be a URL such as redis://host:6379/0")
    return text


def address(text: str) -> str:
    """`host:port`, the host in brackets where it is an IPv6 address."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and host[0] != "["):
        raise ValueError("must be host:port, such as 127.0.0.1:3000")
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def count(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def span(text: str) -> timedelta:
    """A length of time such as 90d, in Go's notation with d and w; 0 means for ever."""
    nanoseconds = parse_duration(text)
    if nanoseconds < 0:
        raise ValueError("must not be negative")
    return timedelta_of(nanoseconds)


def timedelta_of(nanoseconds: int) -> timedelta:
    return timedelta(microseconds=nanoseconds // 1000)


def version(text: str) -> str:
    if not semver.Version.is_valid(text):
        raise ValueError("must be a semantic version without a leading v, such as 2.29.0")
    return text


def http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return text


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


SETTINGS: tuple[OwnSetting, ...] = (
    OwnSetting(
        "DATABASE_URL",
        database_url,
        None,
        "The PostgreSQL database (15 to 18), as a URL. Without it, and without "
        "CODER_PG_CONNECTION_URL, a private PostgreSQL is started under the data directory.",
        secret=True,
    ),
    OwnSetting(
        "CODERAPI_PG_DIRECT_URL",
        database_url,
        None,
        "The same database past PgBouncer, for LISTEN, advisory locks and migrations.",
        secret=True,
    ),
    OwnSetting("CODERAPI_DATA_DIR", Path, None, "Private database and generated secrets."),
    OwnSetting(
        "CODERAPI_SECRET_KEY",
        str,
        None,
        "Django's SECRET_KEY: 50 or more random characters. Made once in the data directory "
        "beside a private database; required with a database of yours.",
        secret=True,
    ),
    OwnSetting(
        "CODERAPI_HTTP_ADDRESS",
        address,
        None,
        "Where to listen; wins over CODER_HTTP_ADDRESS, for a host that has Coder's environment.",
    ),
    OwnSetting("CODERAPI_CODER_VERSION", version, "2.29.0", "The Coder release that we speak for."),
    OwnSetting(
        "CODERAPI_WIRE",
        one_of(*Wire),
        "documented",
        "The wire format: documented (the reference page's) or coderd (Coder's own clients').",
    ),
    OwnSetting(
        "CODERAPI_FIRST_OWNER_USERNAME",
        str,
        "",
        "The first owner, made at the first start. Without it POST /api/v2/users/first stays open "
        "until somebody calls it.",
    ),
    OwnSetting("CODERAPI_FIRST_OWNER_EMAIL", str, "", "The first owner's e-mail address."),
    OwnSetting(
        "CODERAPI_FIRST_OWNER_PASSWORD",
        str,
        "",
        "The first owner's password; without it one is made and shown once.",
        secret=True,
    ),
    OwnSetting(
        "CODERAPI_ALLOWED_HOSTS",
        words,
        None,
        "Comma-separated Host names to answer for. Without it: the access URL's host, the "
        "wildcard's and loopback; any host while no access URL is set.",
    ),
    OwnSetting(
        "CACHE_URL",
        cache_url,
        None,
        "A Redis-protocol server that shares rate limits between hosts.",
        secret=True,
    ),
    OwnSetting("CODERAPI_WEB_WORKERS", count(1, 64), None, "Web processes; one a core by default."),
    OwnSetting("CODERAPI_WEB_THREADS", count(1, 512), 64, "Threads of each web process."),
    OwnSetting(
        "CODERAPI_UPDATE_CHECK_URL",
        http_url,
        "https://api.github.com/repos/coder/coder/releases/latest",
        "Where the daily update check reads Coder's newest release.",
    ),
    OwnSetting(
        "CODERAPI_CSP_ACCESS",
        one_of("authenticated", "ingest-key", "public"),
        None,
        "Who may report CSP violations. By default authenticated in the documented wire, public "
        "in the coderd wire.",
    ),
    OwnSetting(
        "CODERAPI_CSP_RATE_LIMIT",
        count(0, 1_000_000),
        6_000,
        "How often a minute one user or address may send CSP reports, apart from the API's own "
        "limit; 0 sets none, nor does this where the API has no limit.",
    ),
    OwnSetting("CODERAPI_CSP_RETENTION", span, timedelta(days=90), "How long reports are kept."),
    OwnSetting(
        "CODERAPI_STATS_RAW_RETENTION", span, timedelta(hours=24), "How long agent rows are kept."
    ),
    OwnSetting(
        "CODERAPI_STATS_RETENTION", span, timedelta(days=400), "How long snapshots are kept."
    ),
    OwnSetting(
        "CODERAPI_STATS_P95_ALARM_MS",
        count(0, 999_999_999),
        0,
        "The 95th percentile of connection latency, in milliseconds, above which an alarm is "
        "raised; 0 is never.",
    ),
)


def read(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The value of each own setting by its name.

    Raises: ImproperlyConfigured that lists every bad or unknown variable, never a secret's value.
    """
    present = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    errors = list(unknown_names(present))
    for setting in SETTINGS:
        try:
            values[setting.name] = _read_one(setting, present)
        except (ValueError, OSError) as error:
            errors.append(_complaint(setting, present, error))
    if errors:
        raise ImproperlyConfigured("\n".join(errors))
    return values


def _read_one(setting: OwnSetting, present: Mapping[str, str]) -> Any:
    env = environ.Env()
    env.ENVIRON = FileAwareMapping(dict(present)) if setting.secret else dict(present)
    text = env.str(setting.name, default="").removesuffix("\n")
    return setting.parse(text) if text else setting.default


def _complaint(setting: OwnSetting, present: Mapping[str, str], error: Exception) -> str:
    shown = "" if setting.secret else f" {present.get(setting.name, '')!r}"
    return f"{setting.name}{shown}: {error}"


def default_of(name: str) -> Any:
    """What the setting is when nobody sets it."""
    return next(setting.default for setting in SETTINGS if setting.name == name)


def unknown_names(present: Iterable[str]) -> Iterable[str]:
    """A complaint for each variable that has our prefix and is none of ours."""
    known = [s.name for s in SETTINGS] + [f"{s.name}_FILE" for s in SETTINGS if s.secret]
    for name in present:
        if name.startswith("CODERAPI_") and name not in known and name not in INTERNAL:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


def allowed_hosts(chosen: list[str] | None, *, access_url: str, wildcard: str) -> list[str]:
    """Host names to answer for: the chosen ones, else those of the access URL and loopback."""
    if chosen:
        return chosen
    host = urlsplit(access_url).hostname
    if not host:
        return ["*"]
    apps = [wildcard[wildcard.index("*") + 1 :]] if wildcard.startswith("*.") else []
    return [host, *LOOPBACK_HOSTS, *apps]


def without_credentials(url: str) -> str:
    """The web address without a user and password, which would be told to everybody."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if url else ""


def origins(url: str) -> list[str]:
    """The origin of a web address, as browsers name it; none for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return []
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"]


def strict_transport_security(seconds: int, options: Iterable[str]) -> str:
    """The header's value; empty where it is not to be sent."""
    spelt = {"includesubdomains": "includeSubDomains", "preload": "preload"}
    if seconds <= 0:
        return ""
    return "; ".join([f"max-age={seconds}", *(spelt[word.lower()] for word in options)])


DEFAULT_API_RATE_LIMIT = 512


def api_rate_limit(configured: int, *, disabled: bool) -> int | None:
    """Requests a minute, or None for no limit. 0 means 512, a negative number none."""
    if disabled or configured < 0:
        return None
    return configured or DEFAULT_API_RATE_LIMIT
