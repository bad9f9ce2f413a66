"""Builds the OpenAPI document of each wire format."""

from __future__ import annotations

from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from coderapi.openapi import errors, headers
from kernel.http import CODER_API, OWN_API, is_api_path, wire
from kernel.http.wire import Schema, WireFormat

type Endpoint = tuple[str, str, str, Any]


def only_the_api(endpoints: list[Endpoint]) -> list[Endpoint]:
    # The root of the API is described once, with a slash.
    return [each for each in endpoints if is_api_path(each[0]) and each[0] != CODER_API]


def add_components(result: Schema, **kwargs: Any) -> Schema:
    """Adds the headers, parameters and errors that operations refer to. Sorts Coder's first."""
    schemas = result["components"]["schemas"] | {headers.WIRE_COMPONENT: headers.wire_schema()}
    components, used = result["components"], str(result["paths"])
    paths = sorted(result["paths"].items(), key=lambda item: item[0].startswith(OWN_API))
    answers = [error for error in errors.ERRORS.values() if error.ref["$ref"] in used]
    components |= {
        "headers": headers.HEADERS,
        "parameters": headers.PARAMETERS,
        "schemas": dict(sorted(schemas.items())),
        "responses": {error.name: error.response() for error in answers},
    }
    return result | {"paths": dict(paths), "components": dict(sorted(components.items()))}


def openapi(chosen: WireFormat) -> Schema:
    """Builds the OpenAPI document of a wire format."""
    with wire.using(chosen):
        document: Schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


def openapi_yaml(chosen: WireFormat) -> str:
    rendered: bytes = OpenApiYamlRenderer().render(openapi(chosen))  # type: ignore[no-untyped-call]
    return rendered.decode()
