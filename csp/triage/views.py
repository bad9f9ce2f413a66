from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from audit.services import actor_of
from csp.advice.refusals import Risk
from csp.models import window
from csp.scrubbing.versions import SCHEMA as VERSION
from csp.triage import decisions, selectors
from csp.triage.decisions import Decision
from csp.triage.details import details
from csp.triage.releases.gate import MAX_CLIENT_DAYS, ask
from csp.triage.releases.versions import client_days_by_version, is_new_in, mark_new
from csp.triage.serializers import (
    DecisionSerializer,
    GateSerializer,
    GroupDetailSerializer,
    GroupsSerializer,
    GroupWithWindowSerializer,
    SummarySerializer,
)
from csp.triage.states import CURRENT_STATES, in_state
from kernel.http.errors import APIError, Validation, invalid
from kernel.http.schema import ResponseSerializer, operation
from kernel.http.views.base import APIView, json_response, tagged
from users.permissions import identity_of, may
from users.requests import flag, moment_parameter, parse_moment, read, whole_number
from users.selectors import ME

DEFAULT_LIMIT, MAX_LIMIT = 25, 100
_PAGE = (
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
        description=f"The maximum number of rows. Absent or 0: {DEFAULT_LIMIT}.",
    ),
    OpenApiParameter("after", str, description="The member `next` of the previous page."),
)


class ReportsView(APIView):
    """The base class of views for users who may read reports."""

    tag = "CSP"
    permission_classes = [may("csp_report:read")]


class GroupsView(ReportsView):
    @operation(
        "List CSP violation groups",
        description="Lists groups of CSP reports with one cause, most client days first. Groups "
        "that are noise are omitted. Needs the role owner or auditor.",
        parameters=[
            OpenApiParameter("state", str, enum=CURRENT_STATES, description="Only this state."),
            OpenApiParameter("site", str, description="Only this site."),
            OpenApiParameter("directive", str, description="Only this directive."),
            OpenApiParameter("blocked_source", str, description="Only this blocked source."),
            OpenApiParameter(
                "assigned_to",
                str,
                description="Only groups that are assigned to this username, or to the caller: "
                "`me`.",
            ),
            OpenApiParameter(
                "new_in", str, description="Only groups that are new in this version of a site."
            ),
            OpenApiParameter("include_noise", bool, description="Also list groups that are noise."),
            moment_parameter("seen_since", "Only groups seen since this time."),
            *_PAGE,
        ],
        answers={200: GroupsSerializer, 304: None, 403: ResponseSerializer},
        stability="stable",
    )
    def get(self, request: Request) -> HttpResponse:
        now = timezone.now()
        groups, following = _page(request, _filtered(request, now=now), self.get)
        mark_new(groups)
        found = {"window": window(now), "groups": groups, "next": following}
        return tagged(GroupsSerializer(found).data, request=request)


def _page(request: Request, rows: QuerySet[Any], operation: Any) -> tuple[list[Any], str]:
    """Returns the page of the list that the parameters `limit` and `after` name.

    The other parameters of the operation are filters.
    """
    filters = [name for name in operation.parameters if name not in {"limit", "after"}]
    return selectors.page(
        rows,
        filters={name: request.query_params.get(name, "") for name in filters},
        limit=whole_number(request, "limit", limit=MAX_LIMIT) or DEFAULT_LIMIT,
        after=request.query_params.get("after", ""),
    )


def _filtered(request: Request, *, now: datetime) -> Any:
    """Returns the groups that match the query parameters. Raises: APIError 400."""
    groups = selectors.groups_at(now)
    if state := request.query_params.get("state", ""):
        groups = groups.filter(in_state(now, _one_of(CURRENT_STATES, "state", state)))
    for name in ("site", "directive", "blocked_source"):
        if text := request.query_params.get(name, ""):
            groups = groups.filter(**{name: text[:256]})
    if name := request.query_params.get("assigned_to", ""):
        me = identity_of(request).username
        groups = groups.filter(assigned_to__username=me if name == ME else name[:256].lower())
    if version := request.query_params.get("new_in", ""):
        groups = groups.filter(is_new_in(version))
    if not flag(request, "include_noise"):
        groups = groups.visible()
    if since := request.query_params.get("seen_since"):
        groups = groups.filter(last_seen__gte=parse_moment("seen_since", since))
    return groups


def _one_of(choices: Sequence[str], name: str, text: str) -> str:
    if text not in choices:
        raise invalid(Validation(name, f"Must be one of {', '.join(choices)}."))
    return text


class GroupView(ReportsView):
    def get_permissions(self) -> list[Any]:
        if self.request.method == "PATCH":
            return [may("csp_report:update")()]
        return [*super().get_permissions()]

    @operation(
        "Get CSP violation group",
        description="Returns a group of CSP reports with its facets and the advice for it. Needs "
        "the role owner or auditor.",
        answers={200: GroupDetailSerializer, 304: None, 403: ResponseSerializer, 404: "No group."},
        stability="stable",
    )
    def get(self, request: Request, group: uuid.UUID) -> HttpResponse:
        found: Any = _group(group)
        found.facets, found.advice, _ = details(found, now=timezone.now())
        found.versions_shown = client_days_by_version(found)
        return tagged(GroupDetailSerializer(found).data, request=request)

    @operation(
        "Update CSP violation group",
        description="Changes the state or the note of a group, or assigns the group to a user. "
        "If the group has these values already, nothing changes. Needs the role owner.",
        body=DecisionSerializer,
        answers={200: GroupWithWindowSerializer, 403: ResponseSerializer, 404: "No group."},
        stability="stable",
    )
    def patch(self, request: Request, group: uuid.UUID) -> HttpResponse:
        now = timezone.now()
        decision = cast("Decision", read(DecisionSerializer, request))
        if problems := decisions.checked(decision, now=now):
            raise invalid(*(Validation(name, problem) for name, problem in problems.items()))
        decisions.decide([_group(group).pk], decision, actor=actor_of(request), now=now)
        return json_response(GroupWithWindowSerializer(_group(group)).data)


def _group(key: uuid.UUID) -> Any:
    now = timezone.now()
    found: Any = selectors.groups_at(now).filter(pk=key).first()
    if found is None:
        raise APIError(404, "Resource not found.", detail="No violation group has this id.")
    mark_new([found])
    found.window = window(now)
    return found


class SummaryView(ReportsView):
    @operation(
        "Get CSP summary",
        description="Returns the number of violation groups by state, and the reports of a period. "
        "Needs the role owner or auditor.",
        parameters=[
            OpenApiParameter("site", str, description="Only this site."),
            moment_parameter(
                "since",
                "The start of the period. Reports are counted by hour, so it is rounded down to "
                "the full hour. Default: 7 days ago.",
            ),
        ],
        answers={200: SummarySerializer, 304: None, 403: ResponseSerializer},
        stability="experimental",
    )
    def get(self, request: Request) -> HttpResponse:
        now = timezone.now()
        week_ago = now - timedelta(days=7)
        since = parse_moment("since", request.query_params.get("since"), default=week_ago)
        site = request.query_params.get("site", "")[:256]
        found = selectors.summary(since=since, now=now, site=site)
        return tagged(SummarySerializer(found).data, request=request)


class GateView(ReportsView):
    @operation(
        "Get CSP gate",
        description="Returns the violation groups that a new version of a site has added and that "
        "need a decision: their state is `new` or `regressed`. A group counts as added if it "
        "was reported with `new_version`, but not with `old_version` or an older one. A group also "
        "counts if it was resolved before the first report with `new_version`. A pipeline can stop "
        "an upgrade if there are any groups. Needs the role owner or auditor.",
        parameters=[
            OpenApiParameter(
                "old_version", VERSION, required=True, description="The older version."
            ),
            OpenApiParameter(
                "new_version", VERSION, required=True, description="The newer version."
            ),
            OpenApiParameter(
                "site",
                str,
                description="Only this site. By default, compares all sites that have reported "
                "both versions.",
            ),
            OpenApiParameter(
                "min_client_days",
                {"type": "integer", "minimum": 0, "maximum": MAX_CLIENT_DAYS},
                description="Only groups with at least this number of client days with the newer "
                "version. Absent or 0: 1.",
            ),
            OpenApiParameter(
                "min_risk_if_allowed",
                str,
                enum=list(map(str, Risk)),
                description="Only groups with this `risk_if_allowed`, or a higher one.",
            ),
            OpenApiParameter(
                "allow_unseen",
                bool,
                description="Accept a version that no report has. By default, it is an error.",
            ),
        ],
        answers={200: GateSerializer, 304: None, 403: ResponseSerializer},
        stability="stable",
    )
    def get(self, request: Request) -> HttpResponse:
        parameters = request.query_params
        risk = parameters.get("min_risk_if_allowed") or Risk.LOW
        found = ask(
            old_version=parameters.get("old_version", ""),
            new_version=parameters.get("new_version", ""),
            site=parameters.get("site", "")[:256],
            min_client_days=whole_number(request, "min_client_days", limit=MAX_CLIENT_DAYS) or 1,
            min_risk_if_allowed=_one_of(list(Risk), "min_risk_if_allowed", risk),
            allow_unseen=flag(request, "allow_unseen"),
            now=timezone.now(),
        )
        return tagged(GateSerializer(found).data, request=request)
