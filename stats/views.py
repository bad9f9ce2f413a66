from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.durations import to_nanoseconds
from kernel.http.documents import Document, discard
from kernel.http.rendering import render_json
from kernel.http.schema.errors import ResponseSerializer
from kernel.http.views import APIView, DocumentView, document_response
from stats.history.points import parse_moment, parse_range, points
from stats.ingest.body import read_rows
from stats.ingest.taking import ingest
from stats.selectors import newest_snapshot, snapshot_at
from stats.serializers import DeploymentStatsSerializer, HistorySerializer, VerdictsSerializer
from stats.services import TOPIC
from users.permissions import may


class DeploymentStatsView(DocumentView):
    permission_classes = [may("deployment_stats:read")]
    document = Document(
        "stats",
        lambda: render_json(DeploymentStatsSerializer(newest_snapshot(timezone.now())).data),
        topic=TOPIC,
    )

    @extend_schema(
        operation_id="get-deployment-stats",
        summary="Get deployment stats",
        tags=["General"],
        description="The newest figures of the deployment, or those of a moment in the past.",
        parameters=[
            OpenApiParameter("at", datetime, description="The snapshot at or before that time.")
        ],
        responses={200: DeploymentStatsSerializer, 404: ResponseSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        if "at" not in request.query_params:
            return super().get(request)
        now = timezone.now()
        at = parse_moment("at", request.query_params["at"], default=now)
        return tagged(DeploymentStatsSerializer(snapshot_at(at, now=now)).data, request=request)


class StatsHistoryView(APIView):
    permission_classes = [may("deployment_stats:read")]

    @extend_schema(
        operation_id="get-deployment-stats-history",
        summary="Get deployment stats history",
        tags=["General"],
        description=(
            "Evenly spaced points: workspaces and sessions of the newest snapshot in a step, "
            "traffic and latency of all that was reported in it. Steps without a snapshot are "
            "gaps. Old snapshots are thinned, so that steps are multiples of 5 minutes beyond a "
            "week, and of an hour beyond 90 days."
        ),
        parameters=[
            OpenApiParameter("since", datetime, description="The beginning; a day before the end."),
            OpenApiParameter("until", datetime, description="The end; now by default."),
            OpenApiParameter("step", str, description="Such as 5m or 1h; what fits by default."),
        ],
        responses={200: HistorySerializer, 304: None},
    )
    def get(self, request: Request) -> HttpResponse:
        asked = parse_range(request.query_params.dict(), now=timezone.now())
        history = {
            "since": asked.since,
            "until": asked.until,
            "step": to_nanoseconds(asked.step),
            "points": points(asked),
        }
        return tagged(HistorySerializer(history).data, request=request)


def tagged(data: Any, *, request: Request) -> HttpResponse:
    """Answers with a document of this one request: with an ETag, 304 where it is known already."""
    document = Document("once", lambda: render_json(data))
    try:
        return document_response(document, request._request)
    finally:
        discard(document)


class StatsReportsView(APIView):
    permission_classes = [may("deployment_stats:create")]

    @extend_schema(
        operation_id="report-deployment-stats",
        summary="Report deployment stats",
        tags=["General"],
        description=(
            "Takes in agent rows and workspace states: a JSON array of rows, one row, or JSON "
            'lines. Each names its kind: `"kind": "agent"` or `"kind": "workspace"`. Rows that '
            "came before count once, so a request may be repeated. gzip is accepted."
        ),
        request={"application/json": {"type": "array", "items": {"type": "object"}}},
        responses={200: VerdictsSerializer, 415: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        encoding = request.headers.get("Content-Encoding", "")
        verdicts = ingest(read_rows(request._request.body, encoding=encoding), now=timezone.now())
        return Response(VerdictsSerializer(verdicts).data)
