"""The configuration's members in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent

from deployment.config_schema import OPTION, VALUES, components
from kernel.http import wire
from kernel.http.wire import Wire
from options.catalogue import CATALOGUE
from options.configuration import load
from options.rendering import options_document
from options.wires import WIRE_FORMS, Schema, ref

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction


# It has a group, a default and a flag, and is no secret.
EXAMPLE = "Max Token Lifetime"


def _components(chosen: Wire) -> dict[str, Schema]:
    found = components(CATALOGUE, form=WIRE_FORMS[chosen.value])
    options = options_document(load({}), wire=chosen.value)
    example = next(option for option in options if option["name"] == EXAMPLE)
    return found | {OPTION: found[OPTION] | {"examples": [example]}}


class _FromCatalogue(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    component = ""

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        for name, schema in _components(wire.current()).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return ref(self.component)


class ConfigFieldExtension(_FromCatalogue):  # type: ignore[no-untyped-call]
    target_class = "deployment.serializers.ConfigField"
    component = VALUES


class OptionFieldExtension(_FromCatalogue):  # type: ignore[no-untyped-call]
    target_class = "deployment.serializers.OptionField"
    component = OPTION
