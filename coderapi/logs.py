"""Log lines for people and for machines, each with the request id, none with a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_request_id: ContextVar[str] = ContextVar("request_id", default="")

# A session token (`<id>-<secret>`) wherever it stands, and passwords within URLs.
_TOKEN = re.compile(r"\b([A-Za-z0-9]{10})-[A-Za-z0-9]{22}\b")
_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@/]+@")


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def current_request_id() -> str:
    """The id of the request that is being answered, or "" outside of one."""
    return _request_id.get()


def scrub(text: str) -> str:
    """The text with the secrets of session tokens and the passwords of URLs taken out."""
    return _URL_PASSWORD.sub(r"\1:***@", _TOKEN.sub(r"\1-***", text))


class RequestFilter(logging.Filter):
    """Adds the request id, and scrubs the finished message."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        record.msg = scrub(record.getMessage())
        record.args = None
        return True


class CrashFilter(logging.Filter):
    """Lets through what carries an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


class HumanFormatter(logging.Formatter):
    """`2026-11-25 12:00:00.000 [info] name: message`, with the request id where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "")
        line = (
            f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')}.{int(record.msecs):03d} "
            f"[{record.levelname.lower()}] {record.name}: {record.getMessage()}"
        )
        if request_id:
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


def configuration(*, human: str, json: str, verbose: bool) -> dict[str, Any]:
    """Django's LOGGING: a human and a JSON log, each to a file, /dev/stderr or nowhere ("")."""
    outputs = {"human": human, "json": json}
    handlers = {name: _handler(path, formatter=name) for name, path in outputs.items() if path} or {
        "none": {"class": "logging.NullHandler"}
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request": {"()": "coderapi.logs.RequestFilter"},
            "crash": {"()": "coderapi.logs.CrashFilter"},
        },
        "formatters": {
            "human": {"()": "coderapi.logs.HumanFormatter"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
                "rename_fields": {"asctime": "ts", "levelname": "level", "name": "logger_name"},
            },
        },
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": "DEBUG" if verbose else "INFO"},
        "loggers": {
            # Django logs every answer from 400 up; only a crash, with its traceback, is news.
            "django.request": {"level": "ERROR", "filters": ["crash"]},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            # What it says of a database that is away, coderapi.handlers says once a request.
            "psycopg.pool": {"level": "ERROR"},
        },
    }


def _handler(path: str, *, formatter: str) -> dict[str, Any]:
    common = {"formatter": formatter, "filters": ["request"]}
    if path in {"/dev/stderr", "/dev/stdout"}:
        return {**common, "class": "logging.StreamHandler", "stream": f"ext://sys.{path[5:]}"}
    return {**common, "class": "logging.handlers.WatchedFileHandler", "filename": path}
