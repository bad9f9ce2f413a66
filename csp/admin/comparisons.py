"""Pages that compare policies and releases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from csp.models import whole_hour
from csp.scrubbing.address import OTHER_SITE
from csp.triage import sites
from csp.triage.policies import comparison as policies
from csp.triage.policies.whole import site_policy
from csp.triage.releases import comparison as releases
from kernel.admin import ServiceAdmin

CHART_HOURS = 7 * 24


class Comparisons(ServiceAdmin[Any]):
    """Further pages of violation groups."""

    def policies(self, request: HttpRequest) -> HttpResponse:
        found = policies.differences(timezone.now(), span=timedelta(hours=CHART_HOURS))
        return self.page(
            request,
            "policies",
            "Policies of reports",
            differences=found,
            several=sites.are_several(),
        )

    def releases(self, request: HttpRequest) -> HttpResponse:
        """Compares two versions, or with the parameter `at`, before and after a time."""
        now, parameters = timezone.now(), request.GET.dict()
        known = sites.sites_of_groups()
        page: dict[str, Any] = {"sites": known if len(known) > 1 else []}
        chosen = page["versions"] = releases.choice(parameters)
        if chosen and "at" not in parameters:
            page["lists"] = releases.by_version(chosen, now=now)
        else:
            page |= _compared_by_time(parameters, known, now)
        return self.page(request, "releases", "Before and after a release", **page)

    def site_policy(self, request: HttpRequest) -> HttpResponse:
        """Shows the whole policy of a site, by default of the site with the first name."""
        known, site = sites.sites_of_groups(), request.GET.get("site", "")
        site = site if site in known else next(iter(known), OTHER_SITE)
        found = site_policy(site, now=timezone.now(), chosen=request.GET.get("policy", ""))
        return self.page(
            request,
            "site_policy",
            f"Policy of {site}",
            site=site,
            sites=known,
            found=found,
            directives=policies.directives(found.sent.text) if found else [],
        )


def _compared_by_time(
    parameters: dict[str, str], known: Sequence[str], now: datetime
) -> dict[str, Any]:
    site, at, error = parameters.get("site", ""), now - timedelta(days=1), ""
    site = site if site in known else ""
    if text := parameters.get("at"):
        try:
            at = releases.moment_of(text, now=now)
        except ValueError:
            error = "Enter a date and a time in the past."
    hours, lists = releases.by_time(at, now=now, site=site)
    found = {"at": at, "error": error, "site": site, "hours": hours, "lists": lists}
    return found | {"begin": whole_hour(at)}
