from __future__ import annotations

from datetime import datetime
from typing import cast

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from csp import rejections
from csp.access.keys import PARAMETER, VERSION
from csp.collection import Run, collect, collect_in_loop
from csp.schema import INGEST_KEY, ReportBody
from csp.scrubbing.versions import SCHEMA
from kernel.http import wire
from kernel.http.handlers import to_api_error
from kernel.http.identity import IdentifiedRequest
from kernel.http.responses import JSON_CONTENT_TYPE, Answer
from kernel.http.schema.operations import operation
from kernel.http.steps import Results
from kernel.http.views import APIView
from tokens.verification.authentication import SECURITY


class ReportView(APIView):
    """Collects the reports of browsers, from pages of this service and of other origins."""

    authentication_classes = []
    permission_classes = []

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
                description="The version of the page, such as `1.4.0`. Without it, pages of Coder "
                "have the version of Coder.",
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
        results = cast("IdentifiedRequest", request._request).results
        return answer_reports(results, request._request.body, now=timezone.now()).as_response()


def answer_reports(results: Results, body: bytes, *, now: datetime) -> Answer:
    """Collects reports and returns the response."""
    try:
        collect(results, body, now=now)
    except Exception as error:  # noqa: BLE001 - raised again if it is unexpected
        return _outcome(results, now, error)
    return _outcome(results, now)


async def reports_in_loop(results: Results, body: bytes, *, now: datetime, run: Run) -> Answer:
    """Collects reports in an event loop, and returns the response. `run` calls it in a thread."""
    try:
        await collect_in_loop(results, body, now=now, run=run)
    except Exception as error:  # noqa: BLE001 - raised again if it is unexpected
        return _outcome(results, now, error)
    return _outcome(results, now)


def _outcome(results: Results, now: datetime, error: Exception | None = None) -> Answer:
    found = Answer(200, {"Content-Type": JSON_CONTENT_TYPE}, b'"ok"')
    if error:
        known = to_api_error(error)
        if known is None:
            raise error
        rejections.note(results, known, now=now)
        found = known.answer()
    found.headers.update({"Cache-Control": "no-store", "Vary": wire.HEADER})
    return found
