from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from experiments.selectors import enabled_experiments, safe_experiments
from experiments.serializers import ExperimentField
from kernel.http import wire
from kernel.http.documents import Document
from kernel.http.rendering import render_json
from kernel.http.views import DocumentView

NAMES: Any = serializers.ListSerializer(child=ExperimentField())


class EnabledExperimentsView(DocumentView):
    document = Document("experiments", lambda: render_json(enabled_experiments()))

    @extend_schema(
        operation_id="get-enabled-experiments",
        summary="Get enabled experiments",
        tags=["General"],
        description="The experiments that CODER_EXPERIMENTS enables, known or not.",
        responses={200: NAMES},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class SafeExperimentsView(DocumentView):
    document = Document(
        "safe-experiments",
        lambda: render_json(wire.apply("get-safe-experiments", safe_experiments())),
    )

    @extend_schema(
        operation_id="get-safe-experiments",
        summary="Get safe experiments",
        tags=["General"],
        description="The experiments that the value * enables.",
        responses={200: NAMES},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)
