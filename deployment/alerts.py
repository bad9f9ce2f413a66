"""Alerts about the configuration and about releases, and a section of the weekly digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from alerts.kinds import CONFIG_CHANGED, SECURITY_RELEASE
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from deployment.history import Difference, differences
from deployment.models import ConfigRevision
from deployment.own_releases import newer_release
from kernel.text.humanize import plural

# Older revisions cause no alert.
NEWEST = timedelta(days=7)
MAX_NAMES = 20
# A line names this number of options.
MAX_LISTED = 5


def _changes(since: datetime, until: datetime) -> Iterator[tuple[ConfigRevision, str]]:
    """Yields each revision of the period that changed options, with the names of some of them."""
    recent = ConfigRevision.objects.filter(recorded_at__gte=since, recorded_at__lt=until)
    for revision in recent.order_by("pk")[:100]:
        if changed := _differences(revision):
            yield revision, _listed([each.name for each in changed])


def _differences(revision: ConfigRevision) -> list[Difference]:
    """Returns the differences from the previous revision of the same server."""
    earlier = ConfigRevision.objects.filter(coder_url=revision.coder_url, pk__lt=revision.pk)
    before = earlier.first()
    return differences(before, revision) if before else []


@register
class ConfigSource(Source):
    kinds = (CONFIG_CHANGED,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        for revision, names in _changes(now - NEWEST, now + timedelta(days=1)):
            what = f"{names} of {revision.coder_url or revision.host}"
            key, since = str(revision.pk), revision.recorded_at
            yield Event(kind=CONFIG_CHANGED, subject_key=key, title=what, occurred_at=since)

    def details(self, alert: Alert, now: datetime) -> Details:
        revision = ConfigRevision.objects.get(pk=alert.subject_key)
        changed = _differences(revision)
        facts = [(each.name, f"{each.before} → {each.after}") for each in changed[:MAX_NAMES]]
        if len(changed) > MAX_NAMES:
            facts.append(("Further options", f"{len(changed) - MAX_NAMES:,}"))
        page = reverse("admin:deployment_configrevision_change", args=[revision.pk])
        return Details(facts=facts, links=[("Open the revision", page)])


@register
class ReleaseSource(Source):
    kinds = (SECURITY_RELEASE,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        release = newer_release()
        if release and release.is_security:
            title = f"{release.version} fixes a vulnerability"
            key, found = release.version, release.found_at
            yield Event(kind=SECURITY_RELEASE, subject_key=key, title=title, occurred_at=found)

    def details(self, alert: Alert, now: datetime) -> Details:
        release = newer_release()
        if release is None or release.version != alert.subject_key:
            return Details()
        facts = [("This release", settings.VERSION), ("Release notes", release.url)]
        facts += [("Summary", release.summary)] if release.summary else []
        return Details(facts=facts, links=[("Open the admin", reverse("admin:index"))])


def _listed(names: Sequence[str]) -> str:
    more = f" and {plural(len(names) - MAX_LISTED, 'more option')}" if names[MAX_LISTED:] else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _week(since: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    for revision, names in _changes(since, until):
        yield f"{revision.recorded_at:%Y-%m-%d %H:%M}", names


register_section("Configuration", _week)
