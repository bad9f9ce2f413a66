from __future__ import annotations

from django.urls import path

from csp.triage.views import GateView, GroupsView, GroupView, SummaryView
from csp.views import ReportView

urlpatterns = [
    path("csp/reports", ReportView.as_view()),
]
own = [
    path("csp/groups", GroupsView.as_view()),
    path("csp/groups/<uuid:group>", GroupView.as_view()),
    path("csp/gate", GateView.as_view()),
    path("csp/summary", SummaryView.as_view()),
]
