"""The base of every serializer that makes a response: it names its component and obeys the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers

from kernel.http import wire


class WireSerializer(serializers.Serializer[Any]):
    """Renders the documented form, and from it the form of the current wire.

    `component` is the reference page's name of the shape, such as `codersdk.DeploymentStats`: the
    schema's name of it, and its row in the wire's table. `example` is an instance of it, in the
    documented form, without the shapes inside it that have examples of their own.
    """

    component = ""
    example: ClassVar[Mapping[str, Any]] = {}

    def to_representation(self, instance: Any) -> Any:
        return wire.apply(self.component, super().to_representation(instance))
