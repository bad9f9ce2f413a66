from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer
from rest_framework.request import Request

from kernel.http import wire
from kernel.http.body import MEBIBYTE
from kernel.http.call import Call
from kernel.http.errors import APIError, Validation
from kernel.http.schema import ResponseSerializer, operation
from kernel.http.views import documents
from kernel.http.views.base import (
    APIView,
    DocumentView,
    call_of,
    json_response,
    require_known_parameters,
    tagged,
)
from kernel.http.views.documents import Document, Rendered
from kernel.http.views.rendering import render_json
from kernel.http.wire import WireFormat
from kernel.memory import CachedValue, Memory
from kernel.text.durations import DURATION, to_nanoseconds
from kernel.text.humanize import plural
from stats.history.points import Range, parse_range, points
from stats.ingest.body import read_rows
from stats.ingest.ingestion import parse, store
from stats.ingest.rows import Rejection
from stats.rollups.builder import TOPIC
from stats.selectors import newest_snapshot, snapshot_at
from stats.serializers import (
    AgentRowSerializer,
    DeploymentStatsSerializer,
    HistorySerializer,
    IngestResultSerializer,
    WorkspaceStateSerializer,
)
from users.permissions import may
from users.requests import moment_parameter, parse_moment

# A history of 2,000 points has up to a megabyte.
_HISTORIES: Memory[tuple[WireFormat, Range], Rendered] = Memory(
    "histories", capacity=8, topics=(TOPIC,)
)
# The maximum number of rejected rows that are listed in an error response.
MAX_VALIDATIONS = 100


class DeploymentStatsView(DocumentView):
    permission_classes = [may("deployment_stats:read")]
    document = Document(
        "stats",
        lambda: render_json(DeploymentStatsSerializer(newest_snapshot(timezone.now())).data),
        topic=TOPIC,
    )

    @classmethod
    def peek(cls, call: Call, *more: Any) -> Rendered | None:
        return None if call.parameters.get("at") else super().peek(call, *more)

    @operation(
        "Get deployment stats",
        description="Returns the newest snapshot of the deployment, or the snapshot of a time in "
        "the past. Returns a 400 error until the first snapshot is taken. Needs the role owner or "
        "auditor.",
        parameters=[
            moment_parameter(
                "at",
                "A time in the past. If given, the newest snapshot at or before this time is "
                "returned.",
            )
        ],
        answers={
            200: DeploymentStatsSerializer,
            403: ResponseSerializer,
            404: "There is no snapshot at or before the time in `at`.",
        },
    )
    def get(self, request: Request) -> HttpResponse:
        if not (text := request.query_params.get("at")):
            return super().get(request)
        at, now = parse_moment("at", text), timezone.now()
        return tagged(DeploymentStatsSerializer(snapshot_at(at, now=now)).data, request=request)


class StatsHistoryView(DocumentView):
    tag = "Stats"
    permission_classes = [may("deployment_stats:read")]

    @classmethod
    def peek(cls, call: Call, chosen: WireFormat, *more: Any) -> Rendered | None:
        parameters = call.parameters
        require_known_parameters(parameters, known=cls.get.parameters)
        return _HISTORIES.get((chosen, parse_range(parameters, now=timezone.now())))

    @operation(
        "Get stats history",
        description="Returns the statistics of a period in the past, divided into steps of equal "
        "length. A step without data is a gap. If the period begins more than a week ago, the step "
        "must be a multiple of 5 minutes. If it begins more than 90 days ago, the step must be a "
        "multiple of one hour. Needs the role owner or auditor.",
        parameters=[
            moment_parameter("since", "The start of the period. Default: one day before its end."),
            moment_parameter("until", "The end of the period. Default: the current time."),
            OpenApiParameter(
                "step",
                {"type": "string", "pattern": DURATION},
                description="The length of a step, such as `5m` or `1h`. By default, the server "
                "chooses a length that fits the period.",
            ),
        ],
        answers={200: HistorySerializer, 304: None, 403: ResponseSerializer},
        stability="stable",
    )
    def get(self, request: Request) -> HttpResponse:
        period = parse_range(call_of(request).parameters, now=timezone.now())
        found = _HISTORIES.load((wire.current(), period), partial(_history, period))
        return documents.answer(found, call_of(request)).as_response()


def _history(period: Range) -> CachedValue[Rendered]:
    history = {
        "since": period.since,
        "until": period.until,
        "step_ns": to_nanoseconds(period.step),
        "points": points(period),
    }
    return CachedValue(Rendered(render_json(HistorySerializer(history).data)))


class AgentRowsView(APIView):
    tag = "Stats"
    permission_classes = [may("deployment_stats:create")]
    max_body = 8 * MEBIBYTE

    @operation(
        "Store agent rows",
        description="Stores agent rows and workspace states. The body is an array of rows, a "
        "single row, or JSON lines with one row per line. The member `kind` is `agent` for an "
        "agent row and `workspace` for a workspace state. Duplicates count once, so a request may "
        "be repeated. If all rows are rejected, a 400 error is returned. The body may be "
        "compressed with gzip. Needs the role owner.",
        body=PolymorphicProxySerializer(
            component_name="coderapi.StatsRow",
            serializers={"agent": AgentRowSerializer, "workspace": WorkspaceStateSerializer},
            resource_type_field_name="kind",
            many=True,
            help_text="An agent row or a workspace state, depending on the member `kind`.",
        ),
        answers={200: IngestResultSerializer, 403: ResponseSerializer, 415: ResponseSerializer},
        stability="stable",
    )
    def post(self, request: Request) -> HttpResponse:
        encoding = request.headers.get("Content-Encoding", "")
        rows = read_rows(request._request.body, encoding=encoding)
        result = store(parse(rows), now=timezone.now())
        if result.rejections and not result.accepted and not result.duplicates:
            raise _all_rejected(result.rejections)
        return json_response(IngestResultSerializer(result).data)


def _all_rejected(rejected: Sequence[Rejection]) -> APIError:
    detail = f"Rejected {plural(len(rejected), 'row')}."
    if len(rejected) > MAX_VALIDATIONS:
        detail += f" The first {MAX_VALIDATIONS} are listed."
    return APIError(
        400,
        "No row was stored: every row was rejected.",
        detail=detail,
        validations=[
            Validation(f"{each.row_number}.{each.field}".removesuffix("."), each.detail)
            for each in rejected[:MAX_VALIDATIONS]
        ],
    )
