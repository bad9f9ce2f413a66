from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from deployment.history import has_drifted, running
from deployment.models import CoderUpdateCheck, ConfigRevision, NewCoderapiRelease
from deployment.own_releases import newer_release
from deployment.updatecheck import update
from kernel.admin import Line, State, register
from kernel.text.humanize import since

CHECK_LATE_AFTER = timedelta(days=3)


def _update(now: datetime) -> list[Line]:
    return [*_own_release(), *_coder_release(now)]


def _own_release() -> list[Line]:
    """Returns nothing unless a feed of releases is configured."""
    lines = []
    if release := newer_release():
        state = State.BAD if release.is_security else State.NOTICE
        news = "fixes a vulnerability" if release.is_security else "is available"
        lines = [Line("coderapi", f"{release.version} {news}", state, release.url)]
    elif settings.RELEASE_FEED:
        lines = [Line("coderapi", f"{settings.VERSION} is current", State.GOOD)]
    error = NewCoderapiRelease.objects.exclude(error="").first() if settings.RELEASE_FEED else None
    return [*lines, Line("feed of releases", error.error, State.NOTICE)] if error else lines


def _coder_release(now: datetime) -> list[Line]:
    if not settings.UPDATE_CHECK:
        return [Line("check", "disabled")]
    check = CoderUpdateCheck.objects.first()
    if check is None:
        return [Line("check", "has not run yet", State.NOTICE)]
    is_late = check.succeeded_at is None or now - check.succeeded_at > CHECK_LATE_AFTER
    state = State.NOTICE if is_late else State.PLAIN
    lines = [_release(check), Line("checked", since(check.succeeded_at, now), state)]
    if check.error:
        lines.append(Line("offline", check.error, State.NOTICE))
    return lines


def _release(check: CoderUpdateCheck) -> Line:
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
