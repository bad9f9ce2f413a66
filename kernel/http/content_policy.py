"""The Content-Security-Policy of our HTML pages, and the endpoint for its reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP
from django.utils.deprecation import MiddlewareMixin

from kernel.http import API_PREFIX

ENDPOINT = "csp"
# Sources have no credentials, and every reader of a page would see them.
CREDENTIALS = re.compile(r"(?<=//)[^/@\s]*@")

type Policy = dict[str, list[str]]


def content_policy(additional: Iterable[str], *, reports_path: str, https: bool) -> Policy:
    """Returns the policy by directive, with the operator's directives added to ours.

    `report-to` is used with HTTPS only. Browsers that know it ignore `report-uri` beside it, and
    send no report from plain HTTP.
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
    """Adds sources to a directive. They replace `'none'`."""
    if not words:
        return
    name, *sources = words
    kept = [source for source in policy.get(name.lower(), []) if not sources or source != CSP.NONE]
    policy[name.lower()] = [*kept, *(source for source in sources if source not in kept)]


class ForPages(MiddlewareMixin):
    """Makes requests to the API skip the middleware that is its next base class."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(API_PREFIX):
            return cast("HttpResponseBase", self.get_response(request))
        return super().__call__(request)  # type: ignore[return-value]  # never called as async


class ContentPolicyMiddleware(ForPages, ContentSecurityPolicyMiddleware):
    """Adds the policy to HTML pages. It has no effect on other answers."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        if "report-to" in settings.SECURE_CSP:
            endpoint = f'{ENDPOINT}="{settings.CSP_REPORTS_PATH}"'
            response.headers.setdefault("Reporting-Endpoints", endpoint)
        answered: HttpResponse = super().process_response(request, response)
        return answered
