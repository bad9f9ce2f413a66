from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from csp.access.keys import PARAMETER, VERSION
from csp.collection import collect
from csp.counting import rejections
from csp.schema import INGEST_KEY, ReportBody
from csp.scrubbing.versions import SCHEMA
from kernel.http.asking import Asking, run
from kernel.http.body import MEBIBYTE, Read
from kernel.http.headers import WIRE_FORMAT
from kernel.http.responses import JSON_CONTENT_TYPE, Answer
from kernel.http.results import IdentifiedRequest, Results
from kernel.http.schema.operations import operation
from kernel.http.views.base import APIView
from kernel.http.views.handlers import to_api_error
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
        results = cast("IdentifiedRequest", request._request).results
        return run(collect_reports(results, partial(_body, request._request))).as_response()


def _body(request: HttpRequest) -> Asking[bytes]:
    """Returns the body, which Django has in memory, without an Ask."""
    yield from ()
    return request.body


def collect_reports(results: Results, read: Read) -> Asking[Answer]:
    """Collects the reports of a request, and returns the response."""
    now = timezone.now()
    try:
        yield from collect(results, read, now=now)
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
    found.headers.update({"Cache-Control": "no-store", "Vary": WIRE_FORMAT})
    return found
