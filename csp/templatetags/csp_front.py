from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from csp.triage.overview import front_page

register = template.Library()


@register.simple_tag
def csp_front_page() -> dict[str, Any]:
    """Returns the content of the admin's front page of CSP reports."""
    return front_page(timezone.now())
