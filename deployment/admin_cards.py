from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from deployment.history import has_drifted, running
from deployment.models import ConfigRevision, UpdateCheck
from deployment.updatecheck import update
from kernel.admin import Line, State, register
from kernel.humanize import since

CHECK_LATE_AFTER = timedelta(days=3)


def _update(now: datetime) -> list[Line]:
    if not settings.UPDATE_CHECK:
        return [Line("check", "switched off")]
    known = UpdateCheck.objects.first()
    if known is None:
        return [Line("check", "has not run yet", State.NOTICE)]
    failure = [Line("last failure", known.error, State.NOTICE)] if known.error else []
    release = _release() if known.version else Line("newest release", "not known yet", State.NOTICE)
    return [release, _checked(known.succeeded_at, now), *failure]


def _release() -> Line:
    found = update()
    if found.current:
        return Line("Coder", f"{found.version} is current", State.GOOD, found.url)
    return Line("Coder", f"{found.version} is out", State.NOTICE, found.url)


def _checked(succeeded: datetime | None, now: datetime) -> Line:
    late = succeeded is None or now - succeeded > CHECK_LATE_AFTER
    return Line("checked", since(succeeded, now), State.NOTICE if late else State.PLAIN)


def _configuration(now: datetime) -> list[Line]:
    newest = ConfigRevision.objects.newest()
    hosts = running()
    drift = "differ from one another" if has_drifted(hosts) else "run the same configuration"
    link = reverse("admin:deployment_configrevision_changelist")
    return [
        Line("changed", since(newest.recorded_at if newest else None, now), link=link),
        Line("servers", drift, State.NOTICE if has_drifted(hosts) else State.GOOD, link),
    ]


register("Configuration", _configuration, order=30)
register("Updates", _update, order=80)
