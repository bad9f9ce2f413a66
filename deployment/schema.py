"""The configuration in the OpenAPI document: its JSON schema, made from the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent

from kernel.http import wire
from kernel.http.wire import Wire
from options.catalogue import CATALOGUE
from options.configuration import load
from options.option import Option, ValueSource
from options.rendering import CONSTANT_LEAVES, options_document, put
from options.wires import (
    CHOICE_MEMBERS,
    NULL,
    TEXT,
    TRUTH,
    WIRE_FORMS,
    Schema,
    WireForm,
    array_of,
    map_of,
    nullable,
    object_of,
    ref,
)

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction

VALUES, OPTION, GROUP = "codersdk.DeploymentValues", "serpent.Option", "serpent.Group"

# It has a group, a default and a flag, and is no secret.
EXAMPLE = "Max Token Lifetime"


@dataclass(frozen=True, slots=True)
class _Leaf:
    schema: Schema
    optional: bool = False


def config_schema(form: WireForm) -> Schema:
    """Returns the schema of the member `config`: a tree with a leaf for each JSON path."""
    tree: dict[str, Any] = {}
    for option in _one_for_each_place():
        leaf = _Leaf(_leaf_schema(option, form=form), form.may_leave_out(option))
        put(tree, option.json_path, leaf, form=form)
    for path, constant in CONSTANT_LEAVES.items():
        put(tree, path, _Leaf({"const": constant}), form=form)
    return _object(tree)


def _one_for_each_place() -> Iterable[Option]:
    """Returns the options without old names that share a place with the new one."""
    places: dict[str, Option] = {}
    for option in CATALOGUE:
        if option.json_path not in places or not option.use_instead:
            places[option.json_path] = option
    return places.values()


def _leaf_schema(option: Option, *, form: WireForm) -> Schema:
    schema = form.encodings[type(option.type)].schema
    secret = "Secret: always empty here." if option.secret else ""
    parts = (option.description, schema.get("description", ""), secret)
    return _described(schema, " ".join(filter(None, parts)))


def _object(tree: dict[str, Any]) -> Schema:
    optional = [key for key, node in tree.items() if isinstance(node, _Leaf) and node.optional]
    members = {
        key: node.schema if isinstance(node, _Leaf) else _object(node) for key, node in tree.items()
    }
    return object_of(members, optional=optional)


def option_schema(form: WireForm) -> Schema:
    sources = [source.value for source in ValueSource]
    members = {
        "name": TEXT,
        "description": TEXT,
        "required": _described(TRUTH, "Always false: every option can be left unset."),
        "flag": _described(TEXT, "The command-line flag, without its dashes."),
        "flag_shorthand": _described(TEXT, "The flag's one-letter form."),
        "env": _described(TEXT, "The environment variable."),
        "yaml": _described(TEXT, "The key in the YAML file, below that of the group."),
        "default": _described(TEXT, "The text that is parsed when nothing sets the option."),
        "value": _any_value(form),
        "annotations": map_of(TEXT),
        "group": _group_reference(form),
        "use_instead": _described(
            array_of(ref(OPTION)), "The options that have taken this one's place."
        ),
        "hidden": TRUTH,
        "value_source": _described(
            TEXT | {"enum": sources}, "The source that set the value; empty when none did."
        ),
    }
    return _named(members, form=form)


def group_schema(form: WireForm) -> Schema:
    members = {"parent": _group_reference(form), "name": TEXT, "yaml": TEXT, "description": TEXT}
    return _named(members, form=form)


def _described(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}


def _named(members: dict[str, Schema], *, form: WireForm) -> Schema:
    """Returns an object that has all members, or only its name where empty ones are left out."""
    return object_of(members, optional=members.keys() - {"name"} if form.omits_empty else ())


def _group_reference(form: WireForm) -> Schema:
    return ref(GROUP) if form.omits_empty else nullable(ref(GROUP))


def _any_value(form: WireForm) -> Schema:
    """Returns the schema of a value of any type, each shape once."""
    schemas = [encoding.schema for encoding in form.encodings.values()]
    choices = [CHOICE_MEMBERS] if form.choice_members else []
    plain = [_without_words(schema) for schema in (*schemas, *choices, NULL)]
    different = [schema for index, schema in enumerate(plain) if schema not in plain[:index]]
    return _described(
        {"anyOf": different},
        "In the option's own type, as in the configuration; null for a secret.",
    )


def _without_words(schema: Schema) -> Schema:
    return {key: item for key, item in schema.items() if key != "description"}


def components(chosen: Wire) -> dict[str, Schema]:
    """Returns the schemas of the configuration and of an option, with their components, by name."""
    form = WIRE_FORMS[chosen.value]
    options = options_document(load({}), wire=chosen.value)
    example = next(option for option in options if option["name"] == EXAMPLE)
    return {
        VALUES: config_schema(form),
        OPTION: option_schema(form) | {"examples": [example]},
        GROUP: group_schema(form),
        **form.components,
    }


class _FromCatalogue(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    component = ""

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        for name, schema in components(wire.current()).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return ref(self.component)


class ConfigFieldExtension(_FromCatalogue):  # type: ignore[no-untyped-call]
    target_class = "deployment.serializers.ConfigField"
    component = VALUES


class OptionFieldExtension(_FromCatalogue):  # type: ignore[no-untyped-call]
    target_class = "deployment.serializers.OptionField"
    component = OPTION
