from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from csp.triage.details import next_step
from csp.triage.overview import badges, breakable, front_page, sparkline, state_badge

register = template.Library()
register.filter(badges)
register.filter(next_step)
register.filter(breakable)
register.filter(sparkline)
register.filter("state", state_badge)


@register.simple_tag(takes_context=True)
def csp_front_page(context: Any) -> dict[str, Any]:
    """Returns the content of the admin's front page of CSP reports."""
    site = context["request"].GET.get("site", "")[:256].replace("\0", "")
    return front_page(timezone.now(), site=site)
