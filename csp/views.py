from __future__ import annotations

from typing import cast

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from coderapi.errors import JSON_CONTENT_TYPE
from coderapi.identity import IdentifiedRequest
from coderapi.schema import SECURITY, ResponseSerializer
from coderapi.views import APIView
from csp import ingest_keys
from csp.collection import OPERATION, Call, collect
from csp.parsers import MOST_REPORTS
from csp.serializers import ViolationSerializer


class ReportView(APIView):
    """Browsers post here. They can send no header of their own, and so no CSRF proof."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(
        operation_id=OPERATION,
        summary="Report CSP violations",
        tags=["General"],
        description="Keeps what a browser's Content-Security-Policy blocked. Takes the report-uri "
        "object, the Reporting API's array of at most 100 reports, and WebKit's single objects.",
        parameters=[
            OpenApiParameter(ingest_keys.PARAMETER, str, description="An ingest key, cik_….")
        ],
        request={
            "application/json": ViolationSerializer,
            "application/csp-report": ViolationSerializer,
            "application/reports+json": {
                "type": "array",
                "items": {"type": "object"},
                "maxItems": MOST_REPORTS,
            },
        },
        auth=cast("list[str]", SECURITY),
        responses={200: {"type": "string", "const": "ok"}, 410: ResponseSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        answer = collect(call_of(cast("IdentifiedRequest", request._request)), now=timezone.now())
        return HttpResponse(answer, content_type=JSON_CONTENT_TYPE)


def call_of(request: IdentifiedRequest) -> Call:
    return Call(
        body=request.body,
        identity=request.identity,
        refusal=request.refusal,
        address=request.client_address,
        query=request.GET.dict(),
        origin=request.headers.get("Origin", ""),
        user_agent=request.headers.get("User-Agent", ""),
    )
