"""Answers as JSON: UTF-8, unescaped, whatever the Accept header says, in the form of the wire."""

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
    """Coder's API has one representation: neither Accept nor Content-Type is looked at."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class WireSerializer(serializers.Serializer[Any]):
    """Renders the documented form, and from it the form of the current wire.

    `component` is the reference page's name of the shape, such as `codersdk.DeploymentStats`: the
    schema's name of it, and its row in the wire's table. `about` describes it in the schema.
    `example` is an instance of it, in the documented form, without the shapes inside it that have
    examples of their own. `schema` describes a shape that has no fields.
    """

    component = ""
    about = ""
    schema: ClassVar[Mapping[str, Any]] = {}
    example: ClassVar[Mapping[str, Any]] = {}

    def to_representation(self, instance: Any) -> Any:
        return wire.apply(self.component, super().to_representation(instance))


def complete(app: WSGIApplication) -> WSGIApplication:
    """Wraps an application, which then hands over a complete answer as a list of its bytes.

    The server sends a list at once. Of anything else it asks for one piece after the other, each
    time by a thread that has to wait for the interpreter.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app(environ, start_response)
        if not isinstance(response, HttpResponse):
            return response
        # Of what is closed nothing is left but its content, and the server closes no list.
        response.close()
        return [response.content]

    return answer
