from __future__ import annotations

from django.urls import path

from stats.views import AgentRowsView, DeploymentStatsView, StatsHistoryView

urlpatterns = [
    path("deployment/stats", DeploymentStatsView.as_view()),
]
own = [
    path("stats/history", StatsHistoryView.as_view()),
    path("stats/agent-rows", AgentRowsView.as_view()),
]
