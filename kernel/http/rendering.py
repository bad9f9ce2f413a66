"""Renders responses as JSON in the current wire format. The Accept header is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from kernel.http import wire

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def render_json(data: Any) -> bytes:
    return orjson.dumps(data)


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None and _has_no_body(renderer_context) else render_json(data)


def _has_no_body(context: Mapping[str, Any] | None) -> bool:
    response = context and context.get("response")
    return bool(response and response.status_code in {204, 304})


class AlwaysJSON(BaseContentNegotiation):
    """Always uses the only parser and the only renderer, because Coder's API has only JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class WireSerializer(serializers.Serializer[Any]):
    """Renders the documented format, and converts it to the current wire format.

    `component` is the name of the shape in Coder's reference, in the schema and in `wire.TABLE`,
    for example `codersdk.DeploymentStats`. `about` is its description in the schema. `example` is
    an instance in the documented format. It omits members that have their own serializer and
    example. `schema` is the schema of a shape without fields.
    """

    component = ""
    about = ""
    schema: ClassVar[Mapping[str, Any]] = {}
    example: ClassVar[Mapping[str, Any]] = {}

    def to_representation(self, instance: Any) -> Any:
        return wire.apply(self.component, super().to_representation(instance))


def complete(app: WSGIApplication) -> WSGIApplication:
    """Wraps an application so that it returns each complete response as a list of bytes.

    The server sends a list in one step. It reads any other response piece by piece, and waits for
    the interpreter's lock each time.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app(environ, start_response)
        if not isinstance(response, HttpResponse):
            return response
        # The server does not close a list, so the response is closed here. A closed response still
        # has its content.
        response.close()
        return [response.content]

    return answer
