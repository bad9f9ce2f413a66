"""Alerts about jobs and backups, and the section about jobs of the weekly digest.

They are here because the apps `jobs` and `audit` are on lower layers than `alerts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db.models import Count
from django.urls import reverse

from alerts.kinds import BACKUP_OLD, JOB_FAILING
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from audit.models import Entry
from jobs import registry, selectors
from jobs.models import JobRun
from jobs.registry import Job
from kernel.text.humanize import ago, plural

# A job that has failed this number of times in a row is failing. A single failure is retried.
MAX_FAILURES = 3
BACKUP = "backup.create"
MAX_AGE = timedelta(days=7)


@register
class JobSource(Source):
    kinds = (JOB_FAILING,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        newest = selectors.newest_runs(now)
        for job in registry.all_jobs():
            if problem := _problem(job, newest.get(job.name), now):
                yield Event(kind=JOB_FAILING, subject_key=job.name, title=f"{job.name} {problem}")

    def details(self, alert: Alert, now: datetime) -> Details:
        run = selectors.newest_runs(now).get(alert.subject_key)
        facts = [("Job", alert.subject_key)]
        if run is not None:
            facts += [("Last run", f"{run.state}, started {ago(run.started_at, now=now)}")]
            facts += [("Error", run.error[:500])] if run.error else []
        page = f"{reverse('admin:jobs_jobrun_changelist')}?job_name={alert.subject_key}"
        return Details(facts=facts, links=[("Open the runs of the job", page)])


def _problem(job: Job, run: JobRun | None, now: datetime) -> str:
    """Returns the problem of the job, or ""."""
    if selectors.is_late(job, run, now=now):
        return "is late"
    if run is None or not run.failed or not job.enabled():
        return ""
    runs = JobRun.objects.filter(job_name=job.name, scheduled_at__lte=now).order_by(
        "-scheduled_at"
    )[:MAX_FAILURES]
    failures = [each.failed for each in runs]
    return f"failed {MAX_FAILURES} times" if failures == [True] * MAX_FAILURES else ""


def _week(since: datetime, until: datetime) -> Iterable[tuple[str, str]]:
    runs = JobRun.objects.filter(started_at__gte=since, started_at__lt=until).exclude(error="")
    failed = runs.order_by("job_name").values_list("job_name").annotate(runs=Count("pk"))
    return [(job, f"failed {plural(number, 'time')}") for job, number in failed]


register_section("Jobs", _week)


def newest_backup() -> datetime | None:
    """Returns the time of the newest backup by `coderapi backup`, or None."""
    entry = Entry.objects.filter(action=BACKUP).order_by("-created_at").first()
    return entry.created_at if entry else None


@register
class BackupSource(Source):
    """Backups by other programs are unknown. So there is no alert before the first own backup."""

    kinds = (BACKUP_OLD,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        newest = newest_backup()
        if newest is not None and now - newest > MAX_AGE:
            what = f"the newest backup is from {newest:%Y-%m-%d %H:%M} UTC"
            yield Event(kind=BACKUP_OLD, subject_key="backup", title=what)

    def details(self, alert: Alert, now: datetime) -> Details:
        facts = [("Newest backup", ago(newest_backup(), now=now))]
        return Details(facts=facts, links=[("Open the admin", reverse("admin:index"))])
