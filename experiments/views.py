from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from experiments.selectors import enabled_experiments, safe_experiments
from kernel.http import wire
from kernel.http.documents import Document
from kernel.http.rendering import render_json
from kernel.http.schema.operations import operation
from kernel.http.views import DocumentView


@extend_schema_field(
    {
        "type": "string",
        "description": "The name of an experiment. It can be a name that the client does not know.",
        "examples": ["example"],
    },
    component_name="codersdk.Experiment",
)
class ExperimentField(serializers.CharField):
    """The name of an experiment. The schema lists no names, because any name can be enabled."""


NAMES: Any = serializers.ListSerializer(child=ExperimentField())


class EnabledExperimentsView(DocumentView):
    document = Document("experiments", lambda: render_json(enabled_experiments()))

    @operation(
        "Get enabled experiments",
        description="Lists the experiments that `CODER_EXPERIMENTS` enables, including unknown "
        "names.",
        answers={200: NAMES},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class SafeExperimentsView(DocumentView):
    document = Document(
        "safe-experiments",
        lambda: render_json(wire.apply("get-safe-experiments", safe_experiments())),
    )

    @operation(
        "Get safe experiments",
        description="Lists the experiments that are safe to enable. The value `*` of "
        "`CODER_EXPERIMENTS` enables all.",
        answers={200: NAMES},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)
