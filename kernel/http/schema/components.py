"""Serializers as components: named as the reference page names them, in the form of the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers

from kernel.http import wire
from kernel.http.serializers import WireSerializer
from kernel.http.wire import Schema

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction


class WireComponent(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = WireSerializer
    match_subclasses = True
    target: WireSerializer

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str | None:
        return self.target.component or None

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        documented: Schema = auto_schema._map_serializer(  # type: ignore[no-untyped-call]
            self.target, direction, bypass_extensions=True
        )
        described = wire.describe(self.target.component, documented)
        example = example_of(self.target)
        return described | ({"examples": [example]} if example else {})


def example_of(serializer: WireSerializer) -> Any:
    """The serializer's example in the form of the current wire, with those of the shapes in it.

    Empty where any of them has none.
    """
    example = dict(serializer.example)
    for name, field in serializer.fields.items():
        if isinstance(field, WireSerializer) and not (inner := example_of(field)):
            return {}
        if isinstance(field, WireSerializer):
            example[name] = inner
        if isinstance(field, serializers.ListSerializer) and name not in example:
            child = field.child
            example[name] = [example_of(child)] if isinstance(child, WireSerializer) else []
    return wire.apply(serializer.component, example) if serializer.example else {}
