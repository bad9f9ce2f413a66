"""Log lines: their filters, outputs and forms, and what is redacted."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, transaction

from kernel.telemetry import logs
from tests.support.factories import make_user
from users.models import User


def record(name: str = "x", level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    found = logging.LogRecord(name, level, "p", 1, "said %s", ("so",), None)
    found.__dict__.update(extra)
    logs.RequestFilter().filter(found)
    return found


@pytest.mark.parametrize(
    ("patterns", "name", "level", "passes"),
    [
        ([], "a", logging.INFO, True),
        ([], "a", logging.DEBUG, False),
        ([".*"], "a", logging.DEBUG, True),
        (["^kernel[.]"], "kernel.db.listener", logging.DEBUG, True),
        (["^kernel[.]"], "urllib3", logging.DEBUG, False),
        (["^kernel[.]"], "urllib3", logging.WARNING, True),
        (["x", "urllib"], "urllib3", logging.DEBUG, True),
    ],
)
def test_debug_lines_pass_by_the_logger_s_name(
    patterns: list[str], name: str, level: int, passes: bool
) -> None:
    assert logs.ChatterFilter(patterns).filter(record(name, level)) is passes


def formatter(name: str) -> logging.Formatter:
    made = logs.configuration(human="/h", json="/j", stackdriver="/s", chatter=())["formatters"]
    settings = dict(made[name])
    kinds = {"json": logs.MachineFormatter, "stackdriver": logs.StackdriverFormatter}
    del settings["()"]
    return kinds.get(name, logs.HumanFormatter)(settings.pop("format", None), **settings)


def test_message_cannot_forge_another_line() -> None:
    hostile = record(level=logging.WARNING)
    hostile.msg = "a\nFAKE \x1b[31mb"

    assert logs.HumanFormatter().format(hostile).endswith("x: a\\x0aFAKE \\x1b[31mb")


def test_json_line_has_level_time_and_extras() -> None:
    line = json.loads(formatter("json").format(record(level=logging.WARNING, count=3)))
    assert line["level"] == "WARNING"
    assert line["logger_name"] == "x"
    assert line["message"] == "said so"
    assert line["count"] == 3
    assert line["ts"].endswith("+00:00")


def test_stackdriver_line_has_severity_and_the_traceback_in_the_message() -> None:
    try:
        raise ValueError("reason")
    except ValueError:
        found = record(level=logging.ERROR, exc_info=sys.exc_info())
    line = json.loads(formatter("stackdriver").format(found))
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("said so\nTraceback")
    assert line["message"].endswith("ValueError: reason")
    assert "exc_info" not in line


TOKEN = "abcdefghij-0123456789abcdefghijkl"


@pytest.mark.parametrize(
    "around",
    ["/x_{}", "/a%253D{}", "coder_session_token%3D{}", "/p;token={}x", "{}_a", "{}é", "{0}{0}"],
)
def test_tokens_are_redacted_between_any_characters(around: str) -> None:
    scrubbed = logs.scrub(around.format(TOKEN))
    assert scrubbed == around.format("abcdefghij-***")


@pytest.mark.parametrize(
    "text",
    [
        "x_bcbdef06-1ac2-475c-b242-acf849b2e8a1",
        "bcbdef06-1ac2-475c-b242-acf849b2e8a1-bcbdef06-1ac2-475c-b242-acf849b2e8a1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
def test_ids_are_not_redacted(text: str) -> None:
    assert logs.scrub(text) == text


@pytest.fixture
def redacting() -> Iterator[None]:
    logs.redact(["word", "longer-secret"])
    yield
    logs.redact([])


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["human", "json", "stackdriver"])
def test_rows_in_errors_of_postgresql_are_not_logged(name: str) -> None:
    user = make_user()
    values = {"name": "planted\n\nmarker-2", "roles": ["planted"]}
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(**values)
    except IntegrityError:
        line = formatter(name).format(record(exc_info=sys.exc_info()))
    assert "violates check constraint" in line
    assert "The above exception was the direct cause" in line
    assert "planted" not in line
    assert "marker-2" not in line


@pytest.mark.usefixtures("redacting")
def test_short_secrets_are_not_redacted() -> None:
    assert logs.scrub("a word and a longer-secret") == "a word and a ***"


@pytest.mark.usefixtures("redacting")
@pytest.mark.parametrize("name", ["human", "json", "stackdriver"])
def test_traceback_and_extras_are_redacted_in_every_log(name: str) -> None:
    secrets = ("longer-secret", "https://me:password-here@h", TOKEN)
    try:
        raise ValueError(" and ".join(secrets))
    except ValueError:
        found = record(exc_info=sys.exc_info(), extra={"inner": list(secrets), "text": TOKEN})
    found.msg = secrets[0]
    logs.RequestFilter().filter(found)
    line = formatter(name).format(found)
    assert "Traceback" in line
    for secret in ("longer-secret", "password-here", TOKEN.partition("-")[2]):
        assert secret not in line
