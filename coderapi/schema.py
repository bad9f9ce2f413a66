"""How the API describes itself: component names, the ways to carry a token, the error shape."""

from __future__ import annotations

from rest_framework import serializers

from coderapi.serializers import WireSerializer


class ValidationErrorSerializer(WireSerializer):
    component = "codersdk.ValidationError"

    field = serializers.CharField(help_text="The member of the request that was refused.")
    detail = serializers.CharField(help_text="What was expected of it.")


class ResponseSerializer(WireSerializer):
    component = "codersdk.Response"

    message = serializers.CharField(help_text="One sentence for people.")
    detail = serializers.CharField(required=False, help_text="More about the cause.")
    validations = ValidationErrorSerializer(
        many=True, required=False, help_text="One entry for each refused field."
    )
