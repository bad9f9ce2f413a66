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


def components(catalogue: Iterable[Option], *, form: WireForm) -> dict[str, Schema]:
    """Returns the schemas of the configuration and of an option, with their components, by name."""
    return {
        VALUES: config_schema(catalogue, form=form),
        OPTION: option_schema(form),
        GROUP: group_schema(form),
        **form.components,
    }


def config_schema(catalogue: Iterable[Option], *, form: WireForm) -> Schema:
    """Returns the schema of the member `config`: a tree with a leaf for each JSON path."""
    tree: dict[str, Any] = {}
    for option in _one_for_each_place(catalogue):
        leaf = _Leaf(_described(option, form=form), form.may_leave_out(option))
        put(tree, option.json_path, leaf, form=form)
    for path, constant in CONSTANT_LEAVES.items():
        put(tree, path, _Leaf({"const": constant}), form=form)
    return _object(tree)


def _one_for_each_place(catalogue: Iterable[Option]) -> Iterable[Option]:
    """Returns the options without old names that share a place with the new one."""
    places: dict[str, Option] = {}
    for option in catalogue:
        if option.json_path not in places or not option.use_instead:
            places[option.json_path] = option
    return places.values()


def _described(option: Option, *, form: WireForm) -> Schema:
    schema = form.encodings[type(option.type)].schema
    parts = (
        option.description,
        schema.get("description", ""),
        "Secret: always empty here." if option.secret else "",
    )
    return schema | {"description": " ".join(filter(None, parts))}


def _object(tree: dict[str, Any]) -> Schema:
    optional = [key for key, node in tree.items() if isinstance(node, _Leaf) and node.optional]
    members = {
        key: node.schema if isinstance(node, _Leaf) else _object(node) for key, node in tree.items()
    }
    return object_of(members, optional=optional)


def option_schema(form: WireForm) -> Schema:
    members: dict[str, Schema] = {
        "name": TEXT,
        "description": TEXT,
        "required": TRUTH | {"description": "Always false: every option can be left unset."},
        "flag": TEXT | {"description": "The command-line flag, without its dashes."},
        "flag_shorthand": TEXT | {"description": "The flag's one-letter form."},
        "env": TEXT | {"description": "The environment variable."},
        "yaml": TEXT | {"description": "The key in the YAML file, below that of the group."},
        "default": TEXT | {"description": "The text that is parsed when nothing sets the option."},
        "value": _any_value(form),
        "annotations": map_of(TEXT),
        "group": ref(GROUP) if form.omits_empty else nullable(ref(GROUP)),
        "use_instead": array_of(ref(OPTION))
        | {"description": "The options that have taken this one's place."},
        "hidden": TRUTH,
        "value_source": TEXT
        | {
            "enum": [source.value for source in ValueSource],
            "description": "The source that set the value; empty when none did.",
        },
    }
    return object_of(members, optional=_all_but_name(members) if form.omits_empty else ())


def group_schema(form: WireForm) -> Schema:
    members: dict[str, Schema] = {
        "parent": ref(GROUP) if form.omits_empty else nullable(ref(GROUP)),
        "name": TEXT,
        "yaml": TEXT,
        "description": TEXT,
    }
    return object_of(members, optional=_all_but_name(members) if form.omits_empty else ())


def _all_but_name(members: dict[str, Schema]) -> list[str]:
    return [name for name in members if name != "name"]


def _any_value(form: WireForm) -> Schema:
    """Returns the schema of a value of any type, each shape once."""
    schemas = [encoding.schema for encoding in form.encodings.values()]
    choices = [CHOICE_MEMBERS] if form.choice_members else []
    plain = [_without_words(schema) for schema in (*schemas, *choices, NULL)]
    different = [schema for index, schema in enumerate(plain) if schema not in plain[:index]]
    return {
        "anyOf": different,
        "description": "In the option's own type, as in the configuration; null for a secret.",
    }


def _without_words(schema: Schema) -> Schema:
    return {key: item for key, item in schema.items() if key != "description"}


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
