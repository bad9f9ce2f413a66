from __future__ import annotations

from datetime import datetime

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.durations import to_nanoseconds
from kernel.http.documents import Document
from kernel.http.rendering import render_json
from kernel.http.schema.errors import ResponseSerializer
from kernel.http.schema.operations import operation
from kernel.http.views import APIView, DocumentView, tagged
from stats.history.points import parse_moment, parse_range, points
from stats.ingest.body import read_rows
from stats.ingest.ingestion import ingest
from stats.selectors import newest_snapshot, snapshot_at
from stats.serializers import (
    AgentRowSerializer,
    DeploymentStatsSerializer,
    HistorySerializer,
    VerdictsSerializer,
    WorkspaceStateSerializer,
)
from stats.services import TOPIC
from users.permissions import may


class DeploymentStatsView(DocumentView):
    permission_classes = [may("deployment_stats:read")]
    document = Document(
        "stats",
        lambda: render_json(DeploymentStatsSerializer(newest_snapshot(timezone.now())).data),
        topic=TOPIC,
    )

    @operation(
        "Get deployment stats",
        tag="General",
        description="Returns the newest figures of the deployment, or those of a time in the past. "
        "Answers 400 until the first figures are taken. Needs the role owner or auditor.",
        parameters=[
            OpenApiParameter(
                "at",
                datetime,
                description="A time in the past: the answer is what was taken last until then.",
            )
        ],
        answers={
            200: DeploymentStatsSerializer,
            403: ResponseSerializer,
            404: "Nothing was taken until the time in `at`.",
        },
    )
    def get(self, request: Request) -> HttpResponse:
        if "at" not in request.query_params:
            return super().get(request)
        now = timezone.now()
        at = parse_moment("at", request.query_params["at"], default=now)
        return tagged(DeploymentStatsSerializer(snapshot_at(at, now=now)).data, request=request)


class StatsHistoryView(APIView):
    permission_classes = [may("deployment_stats:read")]

    @operation(
        "Get deployment stats history",
        tag="General",
        description="Returns the figures of a period in the past, in steps of equal length. Steps "
        "of which nothing is known are gaps. Steps are multiples of 5 minutes if the period begins "
        "more than a week ago, and of an hour if it begins more than 90 days ago. Needs the role "
        "owner or auditor.",
        parameters=[
            OpenApiParameter(
                "since", datetime, description="The beginning. Absent: one day before the end."
            ),
            OpenApiParameter("until", datetime, description="The end. Absent: now."),
            OpenApiParameter(
                "step",
                str,
                description="The length of a step, such as `5m` or `1h`. Absent: the server "
                "chooses one that fits the period.",
            ),
        ],
        answers={200: HistorySerializer, 304: None, 403: ResponseSerializer},
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


class StatsReportsView(APIView):
    permission_classes = [may("deployment_stats:create")]

    @operation(
        "Report deployment stats",
        tag="General",
        description="Stores figures of agents and states of workspaces: an array of rows, one row, "
        'or JSON lines. Each row names its kind: `"kind": "agent"` or `"kind": "workspace"`. Rows '
        "that are known already count once, so a request may be repeated. The body may be "
        "compressed with gzip. Needs the role owner.",
        body=PolymorphicProxySerializer(
            component_name="coderapi.StatsRow",
            serializers={"agent": AgentRowSerializer, "workspace": WorkspaceStateSerializer},
            resource_type_field_name="kind",
            many=True,
            help_text="A row of an agent or the state of a workspace, as its kind says.",
        ),
        answers={200: VerdictsSerializer, 403: ResponseSerializer, 415: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        encoding = request.headers.get("Content-Encoding", "")
        verdicts = ingest(read_rows(request._request.body, encoding=encoding), now=timezone.now())
        return Response(VerdictsSerializer(verdicts).data)
