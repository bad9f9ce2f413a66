from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from experiments.selectors import SAFE, enabled_experiments
from kernel.http import wire
from kernel.http.views.base import DocumentView, document_operation
from kernel.http.views.documents import Document
from kernel.http.views.rendering import render_json
from users.permissions import Authenticated


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
    permission_classes = [Authenticated]
    document = Document("experiments", lambda: render_json(enabled_experiments()))

    get = document_operation(
        "Get enabled experiments",
        description="Lists the experiments that `CODER_EXPERIMENTS` enables, including unknown "
        "names.",
        answers={200: NAMES},
    )


class SafeExperimentsView(DocumentView):
    permission_classes = [Authenticated]
    document = Document(
        "safe-experiments", lambda: render_json(wire.apply("get-safe-experiments", list(SAFE)))
    )

    get = document_operation(
        "Get safe experiments",
        description="Lists the experiments that are safe to enable. The value `*` of "
        "`CODER_EXPERIMENTS` enables all.",
        answers={200: NAMES},
    )
