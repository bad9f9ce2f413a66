"""Builds the OpenAPI document of each wire format."""

from __future__ import annotations

from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from kernel.http import API_PREFIX, wire
from kernel.http.schema import errors, headers
from kernel.http.wire import Schema, Wire

type Endpoint = tuple[str, str, str, Any]


def only_the_api(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Keeps the endpoints whose paths start with /api/v2/."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(f"{API_PREFIX}/")]


def add_components(result: Schema, **kwargs: Any) -> Schema:
    """Adds the headers, parameters and errors that operations refer to."""
    schemas = result["components"]["schemas"] | {headers.WIRE_COMPONENT: headers.wire_schema()}
    components, used = result["components"], str(result["paths"])
    answers = [error for error in errors.ERRORS.values() if error.ref["$ref"] in used]
    components |= {
        "headers": headers.HEADERS,
        "parameters": headers.PARAMETERS,
        "schemas": dict(sorted(schemas.items())),
        "responses": {error.name: error.response() for error in answers},
    }
    return result | {"components": dict(sorted(components.items()))}


def openapi(chosen: Wire) -> Schema:
    """Builds the OpenAPI document of a wire format."""
    with wire.using(chosen):
        document: Schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


def openapi_yaml(chosen: Wire) -> str:
    rendered: bytes = OpenApiYamlRenderer().render(openapi(chosen))  # type: ignore[no-untyped-call]
    return rendered.decode()
