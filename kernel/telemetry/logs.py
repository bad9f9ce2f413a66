"""Log lines for readers and for machines: with the request id, without secrets."""

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

# A shorter secret could be a word that logs need.
MIN_SECRET = 8
_secrets: re.Pattern[str] | None = None
MASK = "***"


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def current_request_id() -> str:
    """Returns the id of the current request, or "" without one."""
    return _request_id.get()


def redact(secrets: Iterable[str]) -> None:
    """Sets the texts that this process redacts in every log line."""
    global _secrets
    texts = sorted({text for text in secrets if len(text) >= MIN_SECRET}, key=len, reverse=True)
    _secrets = re.compile("|".join(map(re.escape, texts))) if texts else None


def scrub(text: str) -> str:
    """Redacts session tokens, passwords in URLs, and the texts given to `redact`."""
    if _secrets is not None:
        text = _secrets.sub(MASK, text)
    return redact_url_passwords(redact_token_secrets(text, mask=MASK), mask=MASK)


def _scrubbed(value: Any) -> Any:
    """Scrubs every text in a JSON value."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value


class RequestFilter(logging.Filter):
    """Adds the request id, and scrubs the message.

    Any client can send suspicious requests, so these get a line without a traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = None
        record.request_id = _request_id.get()
        record.msg = scrub(record.getMessage())
        record.args = None
        return True


class ChatterFilter(logging.Filter):
    """Drops debug lines of loggers whose names match none of the RE2 patterns."""

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
    """Drops records without an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


# These characters would begin another line, or control a terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def _one_line(message: str) -> str:
    """Escapes control characters, so that a client cannot forge a line of the log."""
    return message.translate(_CONTROLS)


class HumanFormatter(logging.Formatter):
    """Writes `2026-11-25 12:00:00.000 [info] name: message`, and the request id if there is one."""

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
    """Writes one JSON object a line. Tracebacks and extra members are scrubbed, too."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        scrubbed: dict[str, Any] = _scrubbed(super().process_log_record(log_data))
        return scrubbed


class StackdriverFormatter(MachineFormatter):
    """Uses the names and levels of Google Cloud Logging."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        entry = super().process_log_record(log_data)
        if trace := entry.pop("exc_info", None):
            # Its error reporting reads the traceback in the message.
            entry["message"] = f"{entry['message']}\n{trace}"
        return entry


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
    # Django logs every response from 400 up. Only crashes, which have a traceback, matter.
    "django.request": {"level": "ERROR", "filters": ["crash"]},
    # kernel.http.handlers logs an unreachable database once for each request.
    "psycopg.pool": {"level": "ERROR"},
}


def configuration(
    *, human: str, json: str, stackdriver: str, chatter: Sequence[str]
) -> dict[str, Any]:
    """Builds Django's LOGGING: a log for readers and two for machines, each in a file or off ("").

    /dev/stderr and /dev/stdout are the process's own streams. `chatter` has patterns of the names
    of loggers whose debug lines are kept.
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
