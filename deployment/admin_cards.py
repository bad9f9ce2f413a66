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
        return [Line("check", "disabled")]
    check = UpdateCheck.objects.first()
    if check is None:
        return [Line("check", "has not run yet", State.NOTICE)]
    is_late = check.succeeded_at is None or now - check.succeeded_at > CHECK_LATE_AFTER
    state = State.NOTICE if is_late else State.PLAIN
    lines = [_release(check), Line("checked", since(check.succeeded_at, now), state)]
    if check.error:
        lines.append(Line("offline", check.error, State.NOTICE))
    return lines


def _release(check: UpdateCheck) -> Line:
    if not check.version:
        return Line("newest release", "not known yet", State.NOTICE)
    release = update()
    if release.current:
        return Line("Coder", f"{release.version} is current", State.GOOD, release.url)
    return Line("Coder", f"{release.version} is available", State.NOTICE, release.url)


def _configuration(now: datetime) -> list[Line]:
    newest = ConfigRevision.objects.first()
    link = reverse("admin:deployment_configrevision_changelist")
    if has_drifted(running()):
        servers = Line("servers", "run different configurations", State.NOTICE, link)
    else:
        servers = Line("servers", "run the same configuration", State.GOOD, link)
    return [Line("changed", since(newest.recorded_at if newest else None, now), link=link), servers]


register("Configuration", _configuration, order=30)
register("Updates", _update, order=80)
