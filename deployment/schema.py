"""The configuration's members in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent

from coderapi import wire
from deployment.catalogue import CATALOGUE
from deployment.config_schema import OPTION, VALUES, components
from deployment.shapes import Schema, ref
from deployment.wires import WIRE_FORMS

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction


class _FromCatalogue(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    component = ""

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        form = WIRE_FORMS[wire.current().value]
        for name, schema in components(CATALOGUE, form=form).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return ref(self.component)


class ConfigFieldExtension(_FromCatalogue):
    target_class = "deployment.serializers.ConfigField"
    component = VALUES


class OptionFieldExtension(_FromCatalogue):
    target_class = "deployment.serializers.OptionField"
    component = OPTION
