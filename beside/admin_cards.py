from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from beside.checks import Finding, setup
from beside.checks.setup import coder_findings
from beside.configuration import documents
from beside.database import follower
from beside.models import ReaderProgress
from jobs.selectors import newest_runs
from kernel.admin import Line, State, register
from kernel.memory import CachedValue, Memory
from kernel.text.humanize import since

# While Coder hangs, each request for the home page would otherwise wait for it.
FINDINGS: Memory[str, list[Finding]] = Memory("checks of Coder", capacity=1, max_age=10.0)
# A gap in the agent rows is shown for this time.
GAP_SHOWN = timedelta(days=7)


def _coder(now: datetime) -> list[Line]:
    """Checks Coder at most every ten seconds. Also shows recent problems with it."""
    if not settings.CODER_URL:
        return []
    findings = FINDINGS.load(
        settings.CODER_URL,
        lambda: CachedValue(list(coder_findings(now, seconds=documents.SECONDS))),
    )
    found = [Line(each.check, each.message, each.state) for each in findings]
    if settings.CODER_TOKEN and (error := _error(setup.JOB, now)):
        found.append(Line("CODERAPI_CODER_TOKEN", error, State.NOTICE))
    return found + [Line(path, text, State.BAD) for path, text in documents.recent_problems()]


def _error(job_name: str, now: datetime) -> str:
    """Returns the error of the job's newest run."""
    run = newest_runs(now).get(job_name)
    return run.error if run else ""


def _coder_database(now: datetime) -> list[Line]:
    if not settings.CODER_DATABASE_URL:
        return []
    last = ReaderProgress.objects.filter(pk=ReaderProgress.Reader.FOLLOWER).first()
    error = _error(follower.JOB, now)
    link = f"{reverse('admin:jobs_jobrun_changelist')}?job_name={follower.JOB}"
    state = State.BAD if error else State.GOOD if last else State.NOTICE
    lines = [Line("last read", since(last.read_at if last else None, now), state, link)]
    if last and settings.STATS_USAGE_ENABLED:
        # Reading succeeds even if a replica receives no new rows.
        lines.append(Line("newest agent row", since(last.newest_row_at, now)))
    if error:
        lines.append(Line("error", error, State.BAD, link))
    if last and last.problem:
        lines.append(Line("problem", last.problem, State.NOTICE))
    if last and last.missing_until and now - last.missing_until < GAP_SHOWN:
        lines.append(Line("gap", last.gap, State.NOTICE))
    return lines


register("Coder", _coder, order=44)
register("Coder's database", _coder_database, order=45)
