"""Log lines for people and for machines, each with the request id, none with a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import re2
from pythonjsonlogger.json import JsonFormatter

from kernel.redaction import redact_token_secrets, redact_url_passwords

_request_id: ContextVar[str] = ContextVar("request_id", default="")

# Anything shorter could be a word that logs need.
MIN_SECRET = 8
_withheld: re.Pattern[str] | None = None
MASK = "***"


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def current_request_id() -> str:
    """Returns the id of the request that is being answered, or "" outside of one."""
    return _request_id.get()


def redact(secrets: Iterable[str]) -> None:
    """Takes these texts out of every line that this process logs from now on."""
    global _withheld
    texts = sorted({text for text in secrets if len(text) >= MIN_SECRET}, key=len, reverse=True)
    _withheld = re.compile("|".join(map(re.escape, texts))) if texts else None


def scrub(text: str) -> str:
    """Returns the text without session tokens, passwords in URLs, and what is withheld."""
    if _withheld is not None:
        text = _withheld.sub(MASK, text)
    return redact_url_passwords(redact_token_secrets(text, mask=MASK), mask=MASK)


def _scrubbed(value: Any) -> Any:
    """Scrubs every text in a value, as a line of JSON has them."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value


class RequestFilter(logging.Filter):
    """Adds the request id, and scrubs the finished message.

    Anybody can send what Django finds suspicious, so such a request gets a line and no traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = None
        record.request_id = _request_id.get()
        record.msg = scrub(record.getMessage())
        record.args = None
        return True


class ChatterFilter(logging.Filter):
    """Lets debug lines through only from loggers whose names one of the patterns finds (RE2)."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__()
        options = re2.Options()
        options.log_errors = False
        self._patterns = [re2.compile(pattern, options) for pattern in patterns]

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.INFO:
            return True
        return any(pattern.search(record.name) for pattern in self._patterns)


class CrashFilter(logging.Filter):
    """Lets through what carries an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


# What would begin another line, or tell a terminal what to do.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def _one_line(message: str) -> str:
    """Escapes control characters, so that what a client sent cannot pass for a line of the log."""
    return message.translate(_CONTROLS)


class HumanFormatter(logging.Formatter):
    """`2026-11-25 12:00:00.000 [info] name: message`, with the request id where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "")
        line = (
            f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')}.{int(record.msecs):03d} "
            f"[{record.levelname.lower()}] {record.name}: {_one_line(record.getMessage())}"
        )
        if request_id:
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


class MachineFormatter(JsonFormatter):
    """One JSON object a line; nothing in it is left unscrubbed, tracebacks and extras included."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = _scrubbed(super().process_log_record(log_data))
        return found


class StackdriverFormatter(MachineFormatter):
    """The names and levels that Google Cloud Logging knows."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        found = super().process_log_record(log_data)
        trace = found.pop("exc_info", None)
        if trace:
            # Its error reporting reads the traceback out of the message.
            found["message"] = f"{found['message']}\n{trace}"
        return found


_MACHINE_FORMAT = "%(levelname)s %(name)s %(message)s %(request_id)s"
FORMATTERS: dict[str, dict[str, Any]] = {
    "human": {"()": f"{__name__}.HumanFormatter"},
    "json": {
        "()": f"{__name__}.MachineFormatter",
        "format": _MACHINE_FORMAT,
        "timestamp": "ts",
        "rename_fields": {"levelname": "level", "name": "logger_name"},
    },
    "stackdriver": {
        "()": f"{__name__}.StackdriverFormatter",
        "format": _MACHINE_FORMAT,
        "timestamp": "timestamp",
        "rename_fields": {"levelname": "severity", "name": "logger_name"},
    },
}
LOGGERS: dict[str, dict[str, Any]] = {
    # Django logs every answer from 400 up; only a crash, with its traceback, is news.
    "django.request": {"level": "ERROR", "filters": ["crash"]},
    # What it says of a database that is away, kernel.http.handlers says once a request.
    "psycopg.pool": {"level": "ERROR"},
}


def configuration(
    *, human: str, json: str, stackdriver: str, chatter: Sequence[str]
) -> dict[str, Any]:
    """Makes Django's LOGGING: one log for people, two for machines; each to a file or nowhere ("").

    /dev/stderr and /dev/stdout are the process's own. `chatter` are the patterns of those loggers
    whose debug lines are wanted.
    """
    outputs = {"human": human, "json": json, "stackdriver": stackdriver}
    handlers = {name: _handler(path, formatter=name) for name, path in outputs.items() if path} or {
        "none": {"class": "logging.NullHandler"}
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request": {"()": f"{__name__}.RequestFilter"},
            "crash": {"()": f"{__name__}.CrashFilter"},
            "chatter": {"()": f"{__name__}.ChatterFilter", "patterns": list(chatter)},
        },
        "formatters": FORMATTERS,
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": "DEBUG" if chatter else "INFO"},
        "loggers": LOGGERS,
    }


def _handler(path: str, *, formatter: str) -> dict[str, Any]:
    common = {"formatter": formatter, "filters": ["chatter", "request"]}
    if path in {"/dev/stderr", "/dev/stdout"}:
        return {**common, "class": "logging.StreamHandler", "stream": f"ext://sys.{path[5:]}"}
    return {**common, "class": "logging.handlers.WatchedFileHandler", "filename": path}
