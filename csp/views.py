from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from csp.access.keys import PARAMETER
from csp.collection import OPERATION, collect
from csp.parsing.formats import MAX_REPORTS
from kernel.http.errors import JSON_CONTENT_TYPE
from kernel.http.handlers import error_response, to_api_error
from kernel.http.identity import IdentifiedRequest
from kernel.http.rendering import WireSerializer
from kernel.http.schema.errors import ResponseSerializer
from kernel.http.views import APIView, kept_private
from tokens.authentication import SECURITY


class ViolationSerializer(WireSerializer):
    """The one form that the schema names. Bodies are told apart by their shape."""

    component = "coderd.cspViolation"
    example = {
        "csp-report": {
            "document-uri": "https://coder.example.com/workspaces",
            "effective-directive": "script-src-elem",
            "blocked-uri": "https://evil.example.net/lib.js",
            "disposition": "enforce",
        }
    }

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        # The member's name is no Python identifier.
        return {
            "csp-report": serializers.DictField(
                help_text="The report as a browser's report-uri sends it."
            )
        }


class ReportView(APIView):
    """Takes reports from browsers, which other sites' pages send too."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(
        operation_id=OPERATION,
        summary="Report CSP violations",
        tags=["General"],
        description="Keeps what a browser's Content-Security-Policy blocked. Takes the report-uri "
        "object, the Reporting API's array of at most 100 reports, and WebKit's single objects.",
        parameters=[OpenApiParameter(PARAMETER, str, description="An ingest key, cik_….")],
        request={
            "application/json": ViolationSerializer,
            "application/csp-report": ViolationSerializer,
            "application/reports+json": {
                "type": "array",
                "items": {"type": "object"},
                "maxItems": MAX_REPORTS,
            },
        },
        auth=cast("list[str]", SECURITY),
        responses={200: {"type": "string", "const": "ok"}, 410: ResponseSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Stands here for the schema and the list of methods; `dispatch` never calls it."""
        return _answer(request._request)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Takes in reports without DRF, which they need for nothing: 130 µs instead of 222.

        DRF answers every other method.
        """
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        return kept_private(_answer(request))


def _answer(request: HttpRequest) -> HttpResponse:
    try:
        answer = collect(cast("IdentifiedRequest", request), now=timezone.now())
    except Exception as error:
        known = to_api_error(error)
        if known is None:
            raise
        return error_response(known)
    return HttpResponse(answer, content_type=JSON_CONTENT_TYPE)
