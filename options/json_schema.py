"""Builds JSON schemas for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

type Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
NULL: Schema = {"type": "null"}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def object_of(
    members: Mapping[str, Schema], description: str, *, optional: Iterable[str] = ()
) -> Schema:
    required = [name for name in members if name not in set(optional)]
    return {
        "type": "object",
        "properties": dict(members),
        **({"required": required} if required else {}),
        "description": description,
    }


def described(schema: Schema, description: str, *examples: Any) -> Schema:
    """Returns the schema with a description and examples.

    The description replaces the description of a referenced schema.
    """
    return schema | {"description": description} | ({"examples": [*examples]} if examples else {})


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def ref(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}
