from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from csp import services
from csp.jobs import DISK, PRUNE
from csp.models import REPORTS, CommittedBatch, DistinctHash, Group, GroupHour, Report
from csp.writing import writer
from jobs.models import JobRun
from kernel.telemetry.metrics import DATABASE_GAUGES
from kernel.text.humanize import plural
from tests.support.api.client import APIClient
from tests.support.commands import run, write_lines
from tests.support.csp.reports import in_admin, legacy, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


@pytest.fixture
def import_old(tmp_path: Path) -> Callable[..., datetime]:
    """Imports reports that arrived a number of days ago. Returns their time."""

    def import_reports(days: int, *reports: dict[str, Any]) -> datetime:
        then = timezone.now() - timedelta(days=days)
        lines = [{"received_at": then.isoformat(), **report} for report in reports or [legacy()]]
        run("import_csp_reports", write_lines(tmp_path / "a.jsonl", *lines))
        return then

    return import_reports


def test_old_days_are_dropped_with_their_hourly_counts(
    import_old: Any, member: APIClient, settings: LazySettings
) -> None:
    then = import_old(40)
    send(member, legacy())
    settings.CSP_RETENTION = timedelta(days=30)
    old = f"csp_report_p{then:%Y%m%d}0000"
    assert old in run("prune_csp_reports", dry_run=True)
    assert Report.objects.count() == 2
    assert old in run("prune_csp_reports")
    assert Report.objects.count() == 1
    # The group has a newer report.
    assert (Group.objects.get().reports, GroupHour.objects.count()) == (1, 1)


def test_group_goes_with_its_last_report(
    import_old: Any, member: APIClient, settings: LazySettings
) -> None:
    settings.CSP_RETENTION = timedelta(days=90)
    old = [legacy(blocked_uri=f"https://old{n}.example.net/") for n in range(3)]
    import_old(40, *old, legacy())
    send(member, legacy())
    settings.CSP_RETENTION = timedelta(days=30)
    days = len(REPORTS.older_than(timezone.now() - settings.CSP_RETENTION))
    found = f"4 reports in {plural(days, 'partition')}, and 3 groups"
    message = run("prune_csp_reports", dry_run=True).splitlines()[-1]
    assert message == f"Would delete {found}."
    assert Group.objects.count() == 4
    # The job stores the kinds of rows apart, and shows them.
    assert f"Job prune_csp_reports: 7 rows. Deleted {found}." in run("run_job", "prune_csp_reports")
    done = JobRun.objects.get(job_name=PRUNE.name)
    assert (done.affected_rows, done.summary) == (7, f"Deleted {found}.")
    page = in_admin("owner").get(f"/admin/jobs/jobrun/{done.pk}/change/").text
    assert f"Deleted {found}." in page
    assert Group.objects.get().blocked_source == "cdn.example.net"
    assert set(GroupHour.objects.values_list("group", flat=True)) == {Group.objects.get().pk}
    assert set(DistinctHash.objects.values_list("group", flat=True)) == {Group.objects.get().pk}
    assert PRUNE.run(timezone.now()) == (0, "Deleted 0 reports in 0 partitions, and 0 groups.")


def test_group_that_comes_back_counts_anew_and_batches_are_deleted_after_a_day(
    member: APIClient, settings: LazySettings
) -> None:
    settings.CSP_RETENTION = timedelta(days=30)
    send(member, legacy())
    services.prune_reports(timezone.now())
    assert CommittedBatch.objects.count() == 1
    services.prune_reports(timezone.now() + timedelta(days=2))
    assert CommittedBatch.objects.count() == 0
    assert services.prune_reports(timezone.now() + timedelta(days=40))[1] == 1
    send(member, legacy(), REMOTE_ADDR="203.0.113.9")
    assert Group.objects.get().reports == 1


def test_retention_of_zero_keeps_everything(import_old: Any, settings: LazySettings) -> None:
    settings.CSP_RETENTION = timedelta(0)
    import_old(4000)
    assert run("prune_csp_reports") == "Deleted 0 reports in 0 partitions, and 0 groups."
    REPORTS.drop_before(timezone.now() - timedelta(days=100))


def test_partitions_are_made_ahead() -> None:
    later = timezone.now() + timedelta(days=500)
    assert services.make_partitions(later) == 4
    assert services.make_partitions(later) == 0
    for first in REPORTS.starts()[-4:]:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE csp_report_p{first:%Y%m%d%H%M}")


def test_reports_stay_within_their_disk_space(
    import_old: Any, member: APIClient, settings: LazySettings
) -> None:
    import_old(2)
    send(member, legacy())
    assert DISK.run(timezone.now()) == 0
    assert Report.objects.count() == 2
    # The current day is never dropped, so the limit stays exceeded.
    settings.CSP_MAX_DISK = 1
    assert DISK.run(timezone.now()) != 0
    assert Report.objects.get().received_at.date() == timezone.now().date()
    writer.stop()
    before = Group.objects.get()
    send(member, legacy(document_uri="https://coder.example.com/another"), REMOTE_ADDR="10.1.2.3")
    group = Group.objects.get()
    assert (group.reports, Report.objects.count()) == (before.reports + 1, 1)
    # Anyone can invent pages, so they are not counted either.
    assert (group.pages, group.client_days) == (before.pages, before.client_days + 1)
    metrics = {gauge.name: gauge for gauge in DATABASE_GAUGES}
    assert metrics["coderapi_csp_disk_bytes"].read(timezone.now())[()] > 0
    assert metrics["coderapi_csp_disk_limit_bytes"].read(timezone.now()) == {(): 1}
