"""What a browser lets our HTML pages do, and where it reports what they tried all the same."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP

from kernel.http.for_pages import ForPages

REPORTS_PATH = "/api/v2/csp/reports"
ENDPOINT = "csp"
REPORTING_ENDPOINTS = f'{ENDPOINT}="{REPORTS_PATH}"'

type Policy = dict[str, list[str]]


def content_policy(additional: Iterable[str], *, https: bool) -> Policy:
    """The policy by directive, with the operator's own directives added to ours.

    Browsers that know `report-to` ignore `report-uri` beside it, and send nothing from plain http
    then, so `report-to` comes with https only.
    """
    policy: Policy = {
        "default-src": [CSP.NONE],
        "script-src": [CSP.SELF, CSP.NONCE],
        "style-src": [CSP.SELF, CSP.NONCE],
        "img-src": [CSP.SELF],
        "font-src": [CSP.SELF],
        "connect-src": [CSP.SELF],
        "form-action": [CSP.SELF],
        "base-uri": [CSP.NONE],
        "frame-ancestors": [CSP.NONE],
        "report-uri": [REPORTS_PATH],
    }
    if https:
        policy["report-to"] = [ENDPOINT]
    for text in additional:
        for directive in text.split(";"):
            _add(policy, directive.split())
    return policy


def _add(policy: Policy, words: list[str]) -> None:
    """Adds sources to a directive; one that let nothing in gives way to them."""
    if not words:
        return
    name, *sources = words
    kept = [source for source in policy.get(name.lower(), []) if not sources or source != CSP.NONE]
    policy[name.lower()] = [*kept, *(source for source in sources if source not in kept)]


class ContentPolicyMiddleware(ForPages, ContentSecurityPolicyMiddleware):
    """Puts the policy on HTML alone: on other answers it would say nothing to anybody."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        if "report-to" in settings.SECURE_CSP:
            response.headers.setdefault("Reporting-Endpoints", REPORTING_ENDPOINTS)
        answered: HttpResponse = super().process_response(request, response)
        return answered
