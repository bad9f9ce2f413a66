from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from csp.access.keys import PARAMETER, VERSION
from csp.collection import collect_reports
from csp.schema import INGEST_KEY, ReportBody
from csp.scrubbing.versions import SCHEMA
from kernel.http.asking import run
from kernel.http.body import MEBIBYTE
from kernel.http.results import results_of
from kernel.http.schema import operation
from kernel.http.views.base import APIView
from tokens.verification.authentication import SECURITY


class ReportView(APIView):
    """Collects the reports of browsers, from pages of this service and of other origins."""

    authentication_classes = []
    permission_classes = []
    max_body = 1 * MEBIBYTE
    rate_limit = "CSP_RATE_LIMIT"

    @operation(
        "Report CSP violations",
        description="Stores reports of violations of a Content-Security-Policy. Browsers send them "
        "as `application/csp-report` or `application/reports+json`. The content type is ignored. "
        "In an array, reports of other types are only counted. The response is sent after the "
        "reports are stored.",
        parameters=[
            OpenApiParameter(
                PARAMETER,
                str,
                description="An ingest key: `cik_` and 28 characters. With it, pages of the key's "
                "origins can report without a session token.",
            ),
            OpenApiParameter(
                VERSION,
                SCHEMA,
                description="The version of the page, such as `1.4.0`. Default for pages of Coder: "
                "the version of Coder.",
            ),
        ],
        body={"application/json": ReportBody},
        auth=[*SECURITY, {INGEST_KEY: []}],
        answers={
            200: {"type": "string", "const": "ok"},
            401: "The request has neither a valid session token nor a valid ingest key.",
            403: "The ingest key is not for the origin of the page.",
            410: "The ingest key is retired. Stop sending reports.",
        },
    )
    def post(self, request: Request) -> HttpResponse:
        collecting = collect_reports(results_of(request), partial(_body, request._request))
        return run(collecting).as_response()


async def _body(request: HttpRequest) -> bytes:
    """Returns the body, which Django has in memory, without an Ask."""
    return request.body
