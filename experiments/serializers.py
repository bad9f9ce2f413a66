from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@extend_schema_field(
    {
        "type": "string",
        "description": "The name of an experiment. Names come and go: expect unknown ones.",
        "examples": ["example"],
    },
    component_name="codersdk.Experiment",
)
class ExperimentField(serializers.CharField):
    """An open enumeration: what an operator enables is answered, known or not."""
