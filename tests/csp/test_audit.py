"""The texts that `find_csp_secrets` reports, and those that it accepts."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from csp.models import Group, Rejection, Report, SitePolicy, Version
from csp.scrubbing.leak_search import holds_private, holds_private_member
from tests.support.api.client import APIClient
from tests.support.csp.reports import CHROME, FIREFOX, NOW, PATH, POLICY, legacy, modern, send
from tokens.verification import refusals


def audited() -> str:
    out = StringIO()
    try:
        call_command("find_csp_secrets", stdout=out)
    except CommandError as error:
        out.write(str(error))
    return out.getvalue()


@pytest.mark.usefixtures("of_each_table")
def test_audit_reads_every_row() -> None:
    """Deep values, large numbers, and rows without a version."""
    deep: Any = 10**30
    for _ in range(500):
        deep = [deep]
    Report.objects.update(other_members={"a": deep, "b": None})
    assert Group.objects.filter(oldest_version_rank=None).count() == 1
    assert audited() == "No stored value looks like a secret.\n"


@pytest.fixture
def of_each_table(collecting: None, member: APIClient) -> None:
    """Stores a group without a version, one with a version, and a row in each other table."""
    assert send(member, legacy()).status_code == 200
    # The rank of this version looks like a token.
    long = modern(blockedURL="https://img.example.net/a.png", effectiveDirective="img-src")
    url = f"{PATH}?v=20261130.12.3-beta1"
    assert member.post(url, long, content_type="application/json").status_code == 200
    reason = refusals.missing_for_reports().message
    Rejection.objects.create(day=NOW, reason=reason, origin="https://h.test", last_seen=NOW)
    SitePolicy.objects.create(
        site="https://h.test",
        policy="script-src 'self' 'nonce-*'",
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        last_new_at=NOW,
        last_seen=NOW,
    )
    Group.objects.filter(directive="script-src").update(oldest_version_rank=None)


PRIVATE: list[tuple[type[Any], str, Any]] = [
    (Version, "name", "1.0-hunter2hunter2abc123secret"),
    (Rejection, "origin", "https://maria@h.test"),
    (SitePolicy, "policy", "script-src https://u:maria@h.test/"),
    (Report, "document_uri", "https://h.test/p?sid=maria"),
    (Report, "browser", "maria@h.test"),
    (Report, "other_members", {"password": "maria"}),
    (Report, "other_members", {"a": [{"https://u:maria@h.test/": 1}]}),
    (Group, "blocked_source", "8080--main--dev--maria.apps.test"),
    (Group, "directive", "https://h.test/@maria/dev"),
]


@pytest.mark.usefixtures("of_each_table")
def test_audit_shows_the_place_without_the_value() -> None:
    for model, column, value in PRIVATE:
        stored = model.objects.values().first()
        assert stored
        row = model.objects.filter(pk=stored["id"])
        row.update(**{column: value})
        output = audited()
        row.update(**{column: stored[column]})
        assert f"{model._meta.db_table} {stored['id']}: {column}\n" in output
        assert "look like secrets: 1." in output
        assert "maria" not in output


@pytest.mark.parametrize(
    "text",
    [
        "/p?q",
        "https://h.test/#f",
        "//u@h.test/",
        "https://u:S@h/",
        "see u:S@h",
        "/@alice",
        "/x/%40alice/dev",
        "@{user}/dev",
        "/api/v2/users/alice/keys",
        "code--dev--alice.apps.test",
        "wss://pre---8080--main--dev--alice.apps.test",
        "{port}--{agent}--dev--{user}.apps.test",
        "k5fqz2x7m3b4n6p2q7r5t3v4",
        "eyJhbGciOiJI",
        "a.person@example.com",
        "session=hunter2",
        "pass=hunter2",
        "a secret hunter2",
        "/p%253Fq=hunter2",
        "/p\uff1fq",
        "/p%25EF%25BC%259Fq",
        "/p%25%33%46q",
        "/%25%34%30alice",
        "/a/secret%20hunter2",
        "%25" * 9 + "%33" * 9,
        "img-src apikey:hunter2",
        "img-src *; password hunter2",
        "token={secretary}",
    ],
)
def test_audit_finds_private_texts(text: str) -> None:
    assert holds_private(text)
    assert holds_private_member(json.dumps({"x": [text]}))
    assert holds_private_member(json.dumps({"x": {text: 1}}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        POLICY,
        FIREFOX,
        CHROME,
        "https://h.test/@{user}/{workspace}/apps/code",
        "https://{prefix}---{port}--{agent}--{workspace}--{user}--{suffix}.apps.test:8443/",
        "code--{workspace}--{user}.apps.test",
        "/api/v2/users/me/keys",
        "/users/{user}/{secret}/{email}",
        "https://h.test/0b9f2a7c-1111-4222-8333-444455556666",
        "https://h.test/npm/react@18.2.0/my--long--name.js",
        "script-src 'nonce-{nonce}'",
        "index-4f3a2b1c9d8e7f6a5b4c.js",
        "eyJust-so AKIAshort ghz_abcdefghij",
        *(f"https://h.test/p password={'{secret}'[:end]}" for end in range(1, 9)),
    ],
)
def test_audit_accepts_scrubbed_texts(text: str) -> None:
    assert not holds_private(text)
    assert not holds_private_member(json.dumps({"x": [text], "token": "{secret}", "key": None}))
