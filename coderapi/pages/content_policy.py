"""Adds a Content-Security-Policy to our HTML pages, and the endpoint for its reports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP

ENDPOINT = "csp"
# Credentials are removed from sources, because every visitor of a page can read the policy.
CREDENTIALS = re.compile(r"(?<=//)[^/@\s]*@")

type Policy = dict[str, list[str]]


def content_policy(additional: Iterable[str], *, reports_path: str, https: bool) -> Policy:
    """Returns the policy by directive: our directives, and the operator's `additional` ones.

    `report-to` is used with HTTPS only. Browsers that support `report-to` ignore `report-uri` if
    the policy has both, and do not send reports over plain HTTP.
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
        "report-uri": [reports_path],
    }
    if https:
        policy["report-to"] = [ENDPOINT]
    for text in additional:
        for directive in CREDENTIALS.sub("", text).split(";"):
            _add(policy, directive.split())
    return policy


def _add(policy: Policy, words: list[str]) -> None:
    """Adds sources to a directive. New sources replace `'none'`."""
    if not words:
        return
    name, *sources = words
    kept = [source for source in policy.get(name.lower(), []) if not sources or source != CSP.NONE]
    policy[name.lower()] = [*kept, *(source for source in sources if source not in kept)]


def is_html(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


class ContentPolicyMiddleware(ContentSecurityPolicyMiddleware):
    """Adds the policy to HTML pages. Other responses are not changed.

    The path does not matter, because some paths of the API return an HTML page too.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not is_html(response):
            return response
        if "report-to" in settings.SECURE_CSP:
            endpoint = f'{ENDPOINT}="{settings.CSP_REPORTS_PATH}"'
            response.headers.setdefault("Reporting-Endpoints", endpoint)
        answered: HttpResponse = super().process_response(request, response)
        return answered
