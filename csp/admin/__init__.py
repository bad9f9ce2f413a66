"""The pages of CSP reports in the admin, and their card on its home page."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.urls import reverse

from audit.admin import register_target
from csp.admin import groups, keys, noise, reports
from csp.models import Group, IngestKey, NoiseRule, midnight
from csp.triage.selectors import summary
from csp.writing.disk import stored_bytes
from kernel.admin import Line, register
from kernel.text.humanize import size

__all__ = ["groups", "keys", "noise", "reports"]

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)
register_target("csp_group", Group)


def _lines(now: datetime) -> list[Line]:
    today = summary(since=midnight(now), now=now)
    limit = f" of {size(settings.CSP_MAX_DISK)}" if settings.CSP_MAX_DISK else ""
    return [
        Line(
            "reports today (UTC)",
            str(today["reports"] + today["noise_reports"]),
            link=reverse("admin:csp_report_changelist"),
        ),
        Line("hidden as noise today", str(today["noise_reports"])),
        Line(
            "violation groups",
            str(sum(today["groups_by_state"].values())),
            link=reverse("admin:csp_group_changelist"),
        ),
        Line("new groups today", str(today["new_groups"])),
        Line("stored reports", f"{size(stored_bytes())}{limit}"),
    ]


register("CSP reports", _lines, order=70)
