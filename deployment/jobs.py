from __future__ import annotations

from functools import partial

from django.conf import settings

from deployment.models import CoderUpdateCheck, NewCoderapiRelease
from deployment.own_releases import check_for_own_release
from deployment.updatecheck import check_for_update, check_interval
from jobs.registry import Job, register

register(
    Job(
        name="check_for_update",
        every=partial(check_interval, CoderUpdateCheck),
        run=check_for_update,
        enabled=lambda: settings.UPDATE_CHECK,
    )
)
register(
    Job(
        name="check_for_own_release",
        every=partial(check_interval, NewCoderapiRelease),
        run=check_for_own_release,
        enabled=lambda: bool(settings.RELEASE_FEED),
    )
)
