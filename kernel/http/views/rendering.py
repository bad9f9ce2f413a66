"""Renders values as JSON in the current wire format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, ClassVar

import orjson
from rest_framework import serializers
from rest_framework.fields import SkipField
from rest_framework.utils.serializer_helpers import BindingDict

from kernel.http import wire


def render_json(data: Any) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_UTC_Z)


class WireSerializer(serializers.Serializer[Any]):
    """Renders the documented format, and converts it to the current wire format.

    `component` is the name of the shape in Coder's reference, in the schema and in `wire.TABLE`.
    Without it, the class has Coder's name: `DeploymentStatsSerializer` describes
    `codersdk.DeploymentStats`. `about` is the description in the schema. `example` is an instance
    in the documented format. It omits members that have their own serializer and example. `schema`
    is the schema of a shape without fields. `null_is_absent` is true for requests whose optional
    members may be null.

    All instances of a class share its fields, because DRF needs more time to make the fields than
    to render an object. So a field cannot use the context of its serializer.
    """

    component = ""
    about = ""
    schema: ClassVar[Mapping[str, Any]] = {}
    null_is_absent = False
    example: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "component" not in vars(cls):
            cls.component = f"codersdk.{cls.__name__.removesuffix('Serializer')}"

    @classmethod
    def is_own(cls) -> bool:
        """Returns whether the shape belongs to an operation that only coderapi has."""
        return cls.component.startswith("coderapi.")

    @property
    def fields(self) -> BindingDict:
        return _fields(type(self))

    def to_representation(self, instance: Any) -> Any:
        members: dict[str, Any] = {}
        for name, read in _readers(type(self)):
            try:
                members[name] = read(instance)
            except SkipField:
                continue
        return wire.apply(self.component, members)


@cache
def _fields(serializer: type[WireSerializer]) -> BindingDict:
    instance = serializer()
    fields = BindingDict(instance)
    for name, field in instance.get_fields().items():
        fields[name] = field
    return fields


# `render_json` renders the values of these fields in the same way as the fields.
_AS_IT_IS = {
    serializers.BooleanField.to_representation,
    serializers.CharField.to_representation,
    serializers.ChoiceField.to_representation,
    serializers.DateTimeField.to_representation,
    serializers.IntegerField.to_representation,
    serializers.UUIDField.to_representation,
}


@cache
def _readers(serializer: type[WireSerializer]) -> list[tuple[str, Callable[[Any], Any]]]:
    """Returns a function for each member, which reads and renders the member of an object."""
    fields = _fields(serializer).items()
    return [(name, _reader(field)) for name, field in fields if not field.write_only]


def _reader(field: serializers.Field[Any, Any, Any, Any]) -> Callable[[Any], Any]:
    read: Callable[[Any], Any] = field.get_attribute
    is_plain = type(field).get_attribute is serializers.Field.get_attribute
    if is_plain and field.required and len(field.source_attrs) == 1:
        read = partial(_attribute, field.source_attrs[0])
    if type(field).to_representation in _AS_IT_IS:
        return read

    def render(instance: Any) -> Any:
        value = read(instance)
        return None if value is None else field.to_representation(value)

    return render


def _attribute(name: str, instance: Any) -> Any:
    return instance[name] if isinstance(instance, dict) else getattr(instance, name)
