"""Builds the OpenAPI schema of the configuration from the catalogue of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from options.catalogue import AI_PROVIDERS, CATALOGUE, GROUPS
from options.configuration import load
from options.option import Option, ValueSource
from options.option_formats import (
    CHOICE_MEMBERS,
    CONFIG_FORMATS,
    NULL,
    TEXT,
    TRUTH,
    ConfigFormat,
    Schema,
    array_of,
    described,
    map_of,
    nullable,
    object_of,
    ref,
)
from options.rendering import TRACE, options_document, put

VALUES, OPTION, GROUP = "codersdk.DeploymentValues", "serpent.Option", "serpent.Group"

# Descriptions of objects in the tree that are not groups of options, by JSON path.
_HEADINGS = {
    "": "The values of all options, as a tree. Secrets are empty.",
    "ai": "AI providers for workspaces.",
    "ai.bridge.anthropic": "The connection to Anthropic.",
    "ai.bridge.bedrock": "The connection to Amazon Bedrock.",
    "ai.bridge.openai": "The connection to OpenAI.",
    "config_ssh": "Settings for a user's SSH configuration.",
    "derp": "Relays (DERP) for workspace traffic.",
    "derp.config": "The source of the list of relays.",
    "http_cookies": "The attributes of cookies.",
    "oauth2": "Sign-in through OAuth 2.0.",
    "rate_limit": "The limits on requests.",
    "session_lifetime": "The lifetimes of sessions and tokens.",
    "stats_collection": "The collected statistics.",
    "support": "Help for users.",
    "swagger": "The page that shows the OpenAPI document.",
}
_GROUPS = {group.json_path: group.description for group in GROUPS if group.json_path}

# The name of the option that the OpenAPI document shows as an example.
EXAMPLE = "Max Token Lifetime"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value in the configuration. An `optional` value may be omitted."""

    schema: Schema
    optional: bool = False


def leaves(form: ConfigFormat) -> dict[str, Leaf]:
    """Returns the values in the configuration by path, in the order of the catalogue."""
    # Current names of options replace old names with the same path.
    options = (*CATALOGUE, AI_PROVIDERS)
    current = {option.json_path: option for option in options if not option.use_instead}
    found = {option.json_path: option for option in options} | current
    trace = Leaf(described(TRUTH | {"const": False}, "Always false."))
    return {
        form.path(option): Leaf(_leaf_schema(option, form=form), form.may_leave_out(option))
        for option in filter(form.has, found.values())
    } | {TRACE: trace}


def config_schema(form: ConfigFormat) -> Schema:
    """Returns the schema of the member `config`: nested objects with a value for each option."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves(form).items():
        put(tree, path, leaf)
    return _object(tree)


def _leaf_schema(option: Option, *, form: ConfigFormat) -> Schema:
    schema = form.encodings[type(option.type)].schema
    secret = "This value is secret, so it is always empty here." if option.secret else ""
    parts = (option.description, schema.get("description", ""), secret)
    is_old = option.deprecated or bool(option.use_instead)
    return described(schema, " ".join(filter(None, parts))) | (
        {"deprecated": True} if is_old else {}
    )


def _object(tree: dict[str, Any], path: str = "") -> Schema:
    optional = [key for key, node in tree.items() if isinstance(node, Leaf) and node.optional]
    members = {
        key: node.schema if isinstance(node, Leaf) else _object(node, f"{path}.{key}".lstrip("."))
        for key, node in tree.items()
    }
    return object_of(members, _GROUPS.get(path) or _HEADINGS[path], optional=optional)


def option_schema(form: ConfigFormat) -> Schema:
    sources = [source.value for source in ValueSource]
    members = {
        "name": described(TEXT, "The name of the option. It is unique."),
        "description": described(TEXT, "A description of the option."),
        "required": described(TRUTH, "Always false, because no option is required."),
        "flag": described(TEXT, "The command-line flag, without the leading dashes."),
        "flag_shorthand": described(TEXT, "The one-letter form of the flag."),
        "env": described(TEXT, "The environment variable."),
        "yaml": described(TEXT, "The key in the YAML file, inside the key of the group."),
        "default": described(TEXT, "The default value as a string."),
        "value": _any_value(form),
        "annotations": described(
            map_of(TEXT),
            "Properties of the option, for example `secret`. Each value is the string `true`.",
        ),
        "group": _group_reference("The group of the option.", form),
        "use_instead": described(
            array_of(ref(OPTION)), "The options to use instead, if this option is deprecated."
        ),
        "hidden": described(TRUTH, "Whether `--help` omits the option."),
        "value_source": described(
            TEXT | {"enum": sources}, "The source of the value. Empty if the value is the default."
        ),
    }
    return _named(members, "An option with its current value.", form=form)


def group_schema(form: ConfigFormat) -> Schema:
    members = {
        "parent": _group_reference("The parent group.", form),
        "name": described(TEXT, "The group's name."),
        "yaml": described(TEXT, "The key in the YAML file, inside the key of the parent group."),
        "description": described(TEXT, "A description of the group."),
    }
    return _named(members, "A group of options.", form=form)


def _named(members: dict[str, Schema], description: str, *, form: ConfigFormat) -> Schema:
    """Returns an object schema.

    In the coderd format, only the member `name` is required. Otherwise all members are required.
    """
    optional = members.keys() - {"name"} if form.is_coderd else ()
    return object_of(members, description, optional=optional)


def _group_reference(description: str, form: ConfigFormat) -> Schema:
    return described(ref(GROUP) if form.is_coderd else nullable(ref(GROUP)), description)


def _any_value(form: ConfigFormat) -> Schema:
    """Returns a schema that allows the values of all options of the format, without duplicates."""
    used = {type(option.type) for option in (*CATALOGUE, AI_PROVIDERS) if form.has(option)}
    schemas = [encoding.schema for kind, encoding in form.encodings.items() if kind in used]
    choices = [CHOICE_MEMBERS] if form.is_coderd else []
    plain = [_without_description(schema) for schema in (*schemas, *choices, NULL)]
    unique = [schema for index, schema in enumerate(plain) if schema not in plain[:index]]
    return described(
        {"anyOf": unique},
        "The value. Its JSON type depends on the option. `null` if the option is secret.",
    )


def _without_description(schema: Schema) -> Schema:
    return {key: item for key, item in schema.items() if key != "description"}


def components(wire_format: str) -> dict[str, Schema]:
    """Returns the schemas of the configuration, options and groups, by component name."""
    form = CONFIG_FORMATS[wire_format]
    options = options_document(load({}), wire_format=wire_format)
    example = next(option for option in options if option["name"] == EXAMPLE)
    return {
        VALUES: config_schema(form),
        OPTION: option_schema(form) | {"examples": [example]},
        GROUP: group_schema(form),
        **form.components,
    }
