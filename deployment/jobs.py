from __future__ import annotations

from django.conf import settings

from deployment.own_releases import check_for_own_release, feed_interval
from deployment.updatecheck import check_for_update, check_interval
from jobs.registry import Job, register

register(
    Job(
        name="check_for_update",
        every=check_interval,
        run=check_for_update,
        enabled=lambda: settings.UPDATE_CHECK,
    )
)
register(
    Job(
        name="check_for_own_release",
        every=feed_interval,
        run=check_for_own_release,
        enabled=lambda: bool(settings.RELEASE_FEED),
    )
)
