"""Formats log lines for people and for log collectors, with request ids, without secrets."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import re2
from pythonjsonlogger.json import JsonFormatter

from kernel.db.connections import is_unavailable
from kernel.text.redaction import redact_token_secrets, redact_url_passwords

_request_id: ContextVar[str] = ContextVar("request_id", default="")

# Shorter secrets are not redacted, because they could be ordinary words.
MIN_SECRET = 8
_secrets: re.Pattern[str] | None = None
MASK = "***"
# The number of different lines that a RepeatFilter counts separately.
MAX_CAUSES = 100
_NUMBERS = re.compile(r"\d+")


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


# Sets the id of the request that this task handles until its end.
begin_request = _request_id.set


# The lines after the first one of PostgreSQL's error message. They may contain a whole row.
_DETAILS = re.compile(
    r"\n(?:DETAIL|CONTEXT|QUERY):  .*?(?=\n\n(?:The above exception|During handling)|\Z)", re.DOTALL
)


def current_request_id() -> str:
    """Returns the id of the current request, or "" outside a request."""
    return _request_id.get()


def redact(secrets: Iterable[str]) -> None:
    """Sets the secrets that this process redacts in every log line."""
    global _secrets
    texts = sorted({text for text in secrets if len(text) >= MIN_SECRET}, key=len, reverse=True)
    _secrets = re.compile("|".join(map(re.escape, texts))) if texts else None


def scrub(text: str) -> str:
    """Redacts tokens, passwords in URLs, secrets set by `redact`, and details from PostgreSQL."""
    text = _DETAILS.sub("", text)
    if _secrets is not None:
        text = _secrets.sub(MASK, text)
    return redact_url_passwords(redact_token_secrets(text, mask=MASK), mask=MASK)


def _scrubbed(value: Any) -> Any:
    """Scrubs every string in a JSON value."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value


class RequestFilter(logging.Filter):
    """Adds the request id to a record, and scrubs the message.

    Removes the tracebacks of suspicious requests, because any client can send such requests.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = None
        record.request_id = _request_id.get()
        record.msg = scrub(record.getMessage())
        record.args = None
        return True


class ChatterFilter(logging.Filter):
    """Drops debug lines, unless the logger's name matches one of the RE2 patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        self._patterns = [re2.compile(pattern) for pattern in patterns]

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.INFO:
            return True
        return any(pattern.search(record.name) for pattern in self._patterns)


class RepeatFilter(logging.Filter):
    """Drops lines that repeat an earlier one, and logs their number when an interval ends.

    Lines of a logger that differ only in numbers count as equal. The first interval lasts `first`
    seconds. While lines repeat, each interval is twice as long as the one before, up to `longest`.
    """

    def __init__(
        self,
        *,
        first: float = 60.0,
        longest: float = 600.0,
        timer: type[threading.Timer] = threading.Timer,
    ) -> None:
        super().__init__()
        self._first, self._longest, self._timer = first, longest, timer
        self._lock = threading.Lock()
        # Counts the dropped lines of each interval.
        self._dropped: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "repeated"):
            return True
        text = f"{record.name} {record.getMessage()}"
        # A text of unknown origin must not fill the memory.
        text = text if len(self._dropped) < MAX_CAUSES else f"{record.name} {record.msg}"
        cause = _NUMBERS.sub("0", text)
        with self._lock:
            if cause in self._dropped:
                self._dropped[cause] += 1
                return False
            self._dropped[cause] = 0
        self._schedule(cause, record, self._first)
        return True

    def forget(self) -> None:
        """Lets the next line of each cause pass."""
        with self._lock:
            self._dropped.clear()

    def _schedule(self, cause: str, record: logging.LogRecord, seconds: float) -> None:
        timer = self._timer(seconds, self._end_interval, (cause, record, seconds))
        timer.daemon = True
        timer.start()

    def _end_interval(self, cause: str, first: logging.LogRecord, seconds: float) -> None:
        with self._lock:
            repeated = self._dropped.pop(cause, 0)
            if repeated:
                self._dropped[cause] = 0
        if repeated:
            text = "%s (%d more in %.0f s)"
            logging.getLogger(first.name).log(
                *(first.levelno, text, first.getMessage(), repeated, seconds),
                extra={"repeated": repeated},
            )
            self._schedule(cause, first, min(self._longest, 2 * seconds))


def has_unexpected_error(record: logging.LogRecord) -> bool:
    """Returns whether the record has a traceback that the error handlers have not summarized."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not is_unavailable(error)


def has_reason(record: logging.LogRecord) -> bool:
    """Returns whether the record has an exception among its arguments.

    Only these lines of the pool have the reason why no connection can be opened.
    """
    arguments = record.args if isinstance(record.args, tuple) else ()
    return any(isinstance(argument, Exception) for argument in arguments)


# Control characters are escaped, because a client could otherwise forge a log line or control a
# terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class HumanFormatter(logging.Formatter):
    """Formats a record as `2026-11-25 12:00:00.000 [info] name: message`.

    If the record has a request id, it follows the message.
    """

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "")
        message = record.getMessage().translate(_CONTROLS)
        time = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        line = (
            f"{time}.{int(record.msecs):03d} [{record.levelname.lower()}] {record.name}: {message}"
        )
        if request_id:
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


class MachineFormatter(JsonFormatter):
    """Formats a record as one line of JSON. Tracebacks and extra members are scrubbed, too."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        scrubbed: dict[str, Any] = _scrubbed(super().process_log_record(log_data))
        return scrubbed


class StackdriverFormatter(MachineFormatter):
    """Formats a record with the member names that Google Cloud Logging expects."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        entry = super().process_log_record(log_data)
        if trace := entry.pop("exc_info", None):
            # Google's error reporting reads tracebacks from the message.
            entry["message"] = f"{entry['message']}\n{trace}"
        return entry


def _machine(formatter: type[MachineFormatter], *, timestamp: str, level: str) -> dict[str, Any]:
    return {
        "()": formatter,
        "format": "%(levelname)s %(name)s %(message)s %(request_id)s",
        "timestamp": timestamp,
        "rename_fields": {"levelname": level, "name": "logger_name"},
    }


FORMATTERS: dict[str, dict[str, Any]] = {
    "human": {"()": HumanFormatter},
    "json": _machine(MachineFormatter, timestamp="ts", level="level"),
    "stackdriver": _machine(StackdriverFormatter, timestamp="timestamp", level="severity"),
}
# Loggers with a line for each request, scrape or attempt that fails have this filter.
REPEATS = RepeatFilter()
# A forked process has no timers that end the intervals of its parent.
os.register_at_fork(after_in_child=REPEATS.forget)
# What Django rejects before a user is signed in. It names loggers after its exceptions.
SUSPICIOUS = (
    *("csrf", "SuspiciousMultipartForm", "SuspiciousOperation"),
    *("TooManyFieldsSent", "TooManyFilesSent"),
)
LOGGERS: dict[str, dict[str, Any]] = {
    # Django logs every response with a status of 400 or higher. Only unexpected errors are kept.
    "django.request": {"level": "ERROR", "filters": [has_unexpected_error]},
    # A command prints its own error. Processes that serve requests lower the level.
    "psycopg.pool": {"level": "ERROR", "filters": [has_reason, REPEATS]},
    "kernel.db.failures": {"filters": [REPEATS]},
    # Any client can send such requests.
    **{f"django.security.{name}": {"filters": [REPEATS]} for name in SUSPICIOUS},
}


def configuration(
    *, human: str, json: str, stackdriver: str, chatter: Sequence[str]
) -> dict[str, Any]:
    """Builds Django's LOGGING with three logs. Each argument is a file, or "" to disable the log.

    /dev/stderr and /dev/stdout are the streams of the process. `chatter` has patterns: debug lines
    are kept if the logger's name matches one of the patterns.
    """
    outputs = {"human": human, "json": json, "stackdriver": stackdriver}
    common = {"filters": [ChatterFilter(chatter), RequestFilter()]}
    handlers = {
        name: common | {"formatter": name} | _output(path) for name, path in outputs.items() if path
    } or {"none": {"class": "logging.NullHandler"}}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": FORMATTERS,
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": "DEBUG" if chatter else "INFO"},
        "loggers": LOGGERS,
    }


def _output(path: str) -> dict[str, Any]:
    if path in {"/dev/stderr", "/dev/stdout"}:
        return {"class": "logging.StreamHandler", "stream": f"ext://sys.{path[5:]}"}
    return {"class": "logging.handlers.WatchedFileHandler", "filename": path}
