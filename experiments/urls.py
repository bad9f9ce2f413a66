from __future__ import annotations

from django.urls import path

from experiments.views import EnabledExperimentsView, SafeExperimentsView

urlpatterns = [
    path("experiments", EnabledExperimentsView.as_view()),
    path("experiments/available", SafeExperimentsView.as_view()),
]
