from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from csp.triage.overview import badges, front_page

register = template.Library()
register.filter(badges)


@register.simple_tag(takes_context=True)
def csp_front_page(context: Any) -> dict[str, Any]:
    """Returns the content of the admin's front page of CSP reports."""
    site = context["request"].GET.get("site", "")[:256].replace("\0", "")
    return front_page(timezone.now(), site=site)
