"""JSON schemas of the values that the configuration's documents show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from options.values.structs import EXTERNAL_AUTH_FIELDS, LINK_FIELDS, Field

type Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
NULL: Schema = {"type": "null"}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def object_of(members: Mapping[str, Schema], *, optional: Iterable[str] = ()) -> Schema:
    required = [name for name in members if name not in set(optional)]
    return {"type": "object", "properties": dict(members)} | (
        {"required": required} if required else {}
    )


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def ref(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}


def record_of(
    fields: Mapping[str, Field],
    *,
    lists: Schema,
    withheld: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> Schema:
    """An object with a member for each inner key of a struct; `lists` describes its lists."""
    by_absence = {"": TEXT, False: TRUTH, None: lists}
    members = {key: by_absence[field.absent] for key, field in fields.items()}
    return object_of(
        {key: schema for key, schema in members.items() if key not in set(withheld)},
        optional=optional,
    )


TEXTS = array_of(TEXT)
TEXTS_OR_NULL = nullable(TEXTS)

URL_MEMBERS = object_of(
    {
        "scheme": TEXT | {"examples": ["https"]},
        "opaque": TEXT,
        "user": {"type": "object", "description": "Always empty: credentials are not told."},
        "host": TEXT | {"examples": ["coder.example.com:8443"]},
        "path": TEXT,
        "rawPath": TEXT,
        "omitHost": TRUTH,
        "forceQuery": TRUTH,
        "rawQuery": TEXT,
        "fragment": TEXT,
        "rawFragment": TEXT,
    }
)
ADDRESS_MEMBERS = object_of(
    {"host": TEXT | {"examples": ["127.0.0.1"]}, "port": TEXT | {"examples": ["3000"]}}
)
REGEXP_MEMBERS = object_of({"source": TEXT | {"description": "The pattern, in RE2 syntax."}})
CHOICE_MEMBERS = object_of({"Choices": TEXTS, "Value": TEXT})
LINK = record_of(LINK_FIELDS, lists=TEXTS)
LINK_WITHOUT_EMPTY = record_of(LINK_FIELDS, lists=TEXTS, optional=["location"])


def provider(*, lists: Schema, withheld: Iterable[str]) -> Schema:
    """An external sign-in provider."""
    return record_of(EXTERNAL_AUTH_FIELDS, lists=lists, withheld=withheld)
