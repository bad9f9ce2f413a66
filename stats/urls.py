from __future__ import annotations

from django.urls import path

from stats.views import DeploymentStatsView, StatsHistoryView, StatsReportsView

urlpatterns = [
    path("deployment/stats", DeploymentStatsView.as_view()),
    path("deployment/stats/history", StatsHistoryView.as_view()),
    path("deployment/stats/reports", StatsReportsView.as_view()),
]
