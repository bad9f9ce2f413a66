from __future__ import annotations

from django.urls import path

from csp.views import ReportView

urlpatterns = [path("csp/reports", ReportView.as_view())]
