from __future__ import annotations

from typing import cast

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request

from coderapi.errors import JSON_CONTENT_TYPE
from coderapi.identity import IdentifiedRequest
from coderapi.schema import ResponseSerializer
from coderapi.views import APIView
from csp.collection import OPERATION, Call, collect
from csp.serializers import ViolationSerializer


class ReportView(APIView):
    """Browsers post here. They can send no header of their own, and so no CSRF proof."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(
        operation_id=OPERATION,
        summary="Report CSP violations",
        tags=["General"],
        description="Keeps what a browser's Content-Security-Policy blocked. Takes the report-uri object, the "
        "Reporting API's array of at most 100 reports, and WebKit's single objects.",
        request=ViolationSerializer,
        responses={
            200: OpenApiTypes.STR,
            400: ResponseSerializer,
            401: ResponseSerializer,
            413: ResponseSerializer,
        },
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
