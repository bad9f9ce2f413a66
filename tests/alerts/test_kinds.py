"""The alerts of each app, and the weekly digest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError

from alerts import weekly
from alerts.alerts import BACKUP
from alerts.kinds import KINDS
from alerts.models import Alert, Channel
from alerts.sending import send_alerts
from alerts.sources import all_sources
from audit.services import SYSTEM, Target, record
from deployment.models import ConfigRevision, NewCoderapiRelease
from jobs.models import JobRun
from tests.support.channels import ALERTS_DOCUMENT, documented_details, make_channel
from tests.support.commands import run
from tests.support.csp.groups import NOW, make_group
from tests.support.factories import DAY_NS, make_key, make_user
from tests.support.servers.webhook_receiver import Receiver

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def only(receiver: Receiver, kind: str, **values: Any) -> Channel:
    return make_channel(receiver.url, kinds=[kind], **values)


def make_runs(job: str, *errors: str, now: datetime = NOW) -> None:
    """Makes a run for each error, newest last. An empty error is a success."""
    for index, error in enumerate(reversed(errors)):
        at = now - index * MINUTE
        JobRun.objects.create(
            job_name=job, scheduled_at=at, started_at=at, finished_at=at, error=error, process="a"
        )


def test_each_kind_has_a_source_and_a_row_in_the_document() -> None:
    listed = [kind for source in all_sources() for kind in source.kinds]
    assert sorted(listed) == sorted(KINDS)
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (\w+) \|", ALERTS_DOCUMENT, re.MULTILINE))
    assert rows == {name: kind.severity.label for name, kind in KINDS.items()}


def test_failing_job_is_alerted_once_until_it_has_recovered(receiver: Receiver) -> None:
    only(receiver, "job.failing")
    make_runs("make_audit_partitions", "", "no route", "no route")
    assert send_alerts(NOW) == 0
    make_runs("make_audit_partitions", "no route", now=NOW + MINUTE)
    assert [send_alerts(NOW + minutes * MINUTE) for minutes in (2, 3)] == [1, 0]
    assert receiver.titles == ["job: make_audit_partitions failed 3 times"]
    assert "Error: no route" in receiver.bodies[0]["data"]["text"]
    make_runs("make_audit_partitions", "", now=NOW + HOUR)
    assert send_alerts(NOW + HOUR) == 0
    make_runs("make_audit_partitions", "x", "x", "x", now=NOW + 2 * HOUR)
    assert send_alerts(NOW + 2 * HOUR) == 1


def test_late_job_and_alarm_of_the_stats_are_alerted(receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=["job.failing", "stats.alarm"], is_enabled=False)
    Channel.objects.update(is_enabled=True)
    make_runs("prune_job_runs", "")
    assert send_alerts(NOW + 3 * DAY) == 2
    expected = {"job: prune_job_runs is late", "stats: No snapshot has been taken yet"}
    assert set(receiver.titles) == expected


def test_state_that_ends_before_the_message_is_sent_is_dropped(receiver: Receiver) -> None:
    only(receiver, "job.failing", hourly_limit=1)
    make_runs("make_audit_partitions", "x", "x", "x")
    assert send_alerts(NOW) == 1
    make_runs("make_csp_partitions", "x", "x", "x", now=NOW + MINUTE)
    assert send_alerts(NOW + MINUTE) == 0
    make_runs("make_csp_partitions", "", now=NOW + 2 * MINUTE)
    assert send_alerts(NOW + 2 * HOUR) == 0
    assert Alert.objects.get(subject_key="make_csp_partitions").status == "dropped"


def test_old_backup_is_alerted(receiver: Receiver) -> None:
    only(receiver, "backup.old")
    assert send_alerts(NOW) == 0
    record(BACKUP, actor=SYSTEM, target=Target("backup", "a"), now=NOW)
    assert send_alerts(NOW + 6 * DAY) == 0
    assert send_alerts(NOW + 8 * DAY) == 1
    assert receiver.titles == ["backup: the newest backup is from 2026-05-04 12:00 UTC"]


def test_token_in_use_that_expires_is_alerted_once(receiver: Receiver) -> None:
    only(receiver, "token.expiring")
    ada = make_user(username="ada")
    month: dict[str, Any] = {"login_type": "token", "lifetime_ns": 30 * DAY_NS}
    month["now"] = NOW - 25 * DAY
    make_key(ada, token_name="ci", **month)
    make_key(ada, token_name="unused", used=False, **month)
    short: dict[str, Any] = {"login_type": "token", "lifetime_ns": 2 * DAY_NS, "now": NOW}
    make_key(ada, token_name="short", **short)
    assert [send_alerts(NOW), send_alerts(NOW + HOUR)] == [1, 0]
    assert receiver.titles == ["token expires: ci of ada on 2026-05-09 12:00 UTC"]


def test_security_release_is_alerted_once(receiver: Receiver, settings: Any) -> None:
    only(receiver, "coderapi.security_release")
    settings.RELEASE_FEED = "/feed.json"
    url = "https://git.example.com/releases/9.0.0"
    release = NewCoderapiRelease.objects.create(
        version="9.0.0", url=url, summary="A leak.", found_at=NOW
    )
    assert send_alerts(NOW) == 0
    release.is_security = True
    release.save()
    assert [send_alerts(NOW), send_alerts(NOW + HOUR)] == [1, 0]
    assert receiver.titles == ["coderapi: 9.0.0 fixes a vulnerability"]
    text = receiver.bodies[0]["data"]["text"]
    assert "Summary: A leak." in text
    assert f"Release notes: {url}" in text


def test_changed_configuration_is_alerted(receiver: Receiver) -> None:
    """Neither the first start nor a changed source or a new release is a changed configuration."""
    only(receiver, "config.changed")
    new, names = {"new_option": "2"}, ("http_address", "access_url", "a", "b", "c", "d", "e")
    revisions: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
        ({"http_address": "a", "old_option": "1"}, {}),
        ({"http_address": "a", "old_option": "1"}, {"http_address": "env"}),
        ({"http_address": "a", **new}, {}),
        ({"http_address": "b", **new}, {}),
        ({**dict.fromkeys(names, "c"), **new}, dict.fromkeys(names, "env")),
    )
    for day, (values, sources) in enumerate(revisions):
        about = {"digest": f"{day}" * 64, "host": "web-1", "server_version": "1"}
        revision = ConfigRevision(**about, values=values, sources=sources)
        revision.recorded_at = NOW + day * DAY
        revision.save()
    assert send_alerts(NOW + 5 * DAY) == 2
    assert receiver.titles == [
        "configuration: HTTP Address of web-1",
        "configuration: Access URL, HTTP Address, a, b, c and 2 more options of web-1",
    ]
    assert "HTTP Address: a → b" in receiver.bodies[0]["data"]["text"]


def test_coder_that_does_not_respond_is_alerted(receiver: Receiver, settings: Any) -> None:
    settings.CODER_URL = "http://127.0.0.1:1"
    only(receiver, "coder.unavailable", is_enabled=False)
    only(receiver, "coder.unavailable", is_enabled=False, name="other")
    Channel.objects.update(is_enabled=True)
    assert [send_alerts(NOW + step * MINUTE / 4) for step in range(4)] == [0, 0, 2, 0]
    assert receiver.titles == ["Coder: Coder does not respond"] * 2


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({"kinds": ["stats.alarm"]}, 0),
        ({"min_severity": 3}, 0),
        ({"min_severity": 2}, 1),
        ({"sites": ["https://portal.example"]}, 0),
        ({"sites": ["https://portal.example", "other"]}, 1),
        ({"kinds": []}, 1),
    ],
)
def test_channel_gets_what_it_chooses(
    receiver: Receiver, values: dict[str, Any], sent: int
) -> None:
    make_channel(receiver.url, **values)
    make_group(client_days=100)
    send_alerts(NOW)
    assert receiver.types.count("csp_group.new") == sent


def test_error_of_one_source_does_not_stop_the_others(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_channel(receiver.url, kinds=["csp_group.new", "job.failing"])
    monkeypatch.setattr("alerts.alerts.selectors.newest_runs", lambda now: 1 / 0)
    make_group(client_days=100)
    assert send_alerts(NOW) == 1
    assert "The alerts job.failing cannot be computed" in caplog.text


def test_database_error_of_one_source_does_not_stop_the_messages(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any) -> list[Any]:
        return list(JobRun.objects.raw("SELECT * FROM absent"))

    make_channel(receiver.url, kinds=["csp_group.new", "job.failing"])
    monkeypatch.setattr("alerts.alerts.JobSource.still_due", fail)
    make_group(client_days=100)
    make_runs("make_audit_partitions", "no route", "no route", "no route")
    assert send_alerts(NOW) == 2
    assert 'relation "absent" does not exist' in caplog.text


# --- The weekly digest ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-30T06:59:59", "2026-11-23T07:00"),
        ("2026-11-30T07:00:00", "2026-11-30T07:00"),
        ("2026-12-06T23:00:00", "2026-11-30T07:00"),
        ("2027-01-01T00:00:00", "2026-12-28T07:00"),
    ],
)
def test_week_ends_on_monday(now: str, end: str) -> None:
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, end)]
    assert weekly.newest_end(moments[0]) == moments[1]


def test_digest_is_sent_on_monday_once(receiver: Receiver) -> None:
    monday = datetime(2026, 5, 4, 7, tzinfo=UTC)
    make_channel(receiver.url, kinds=["weekly_digest"], now=monday - 3 * DAY)
    make_group(client_days=100)
    sent = [send_alerts(monday + step) for step in (-MINUTE, 0 * MINUTE, HOUR, 3 * DAY, 7 * DAY)]
    assert sent == [0, 1, 0, 0, 1]
    assert receiver.titles[0] == "weekly digest: 2026-04-27 to 2026-05-04"
    data = receiver.bodies[0]["data"]
    assert "CSP: open groups: 1" in data["text"]
    assert {"name": "CSP: open groups", "value": "1"} in data["details"]["figures"]
    assert [*data["details"]] == documented_details("weekly_digest")


def test_digest_is_printed_without_data_of_users(settings: Any) -> None:
    ada = make_user(username="ada-lovelace")
    make_key(ada, login_type="token", token_name="secret-project")
    make_group(client_days=100)
    text = run("send_alerts", "--weekly-digest")
    assert text.startswith("[coderapi] weekly digest: ")
    assert "CSP: open groups: 1" in text
    assert "ada-lovelace" not in text
    assert "secret-project" not in text


def test_digest_is_sent_to_a_channel(receiver: Receiver) -> None:
    make_channel(receiver.url)
    assert (
        run("send_alerts", "--weekly-digest", "--channel", "security")
        == "Sent the digest to security."
    )
    [body] = receiver.bodies
    assert body["data"]["subject"].startswith("[coderapi] weekly digest: ")
    assert [*body["data"]["details"]] == documented_details("weekly_digest")
    with pytest.raises(CommandError, match="There is no alert channel 'other'"):
        run("send_alerts", "--weekly-digest", "--channel", "other")
