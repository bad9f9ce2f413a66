"""The bases of every view under /api/v2, and the API's root."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework import exceptions, views
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http import documents, wire
from kernel.http.errors import JSON_CONTENT_TYPE
from kernel.http.rendering import render_json
from kernel.http.schema.operations import operation
from kernel.http.streaming import StreamedResponse, release_connection

READS = frozenset({"GET", "HEAD"})


class APIView(views.APIView):
    """One route: its wrong methods are answered 405 before anybody is asked who they are."""

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if (request.method or "").lower() not in self._answered():
            raise exceptions.MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        answer = kept_private(super().finalize_response(request, response, *args, **kwargs))
        if answer.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            # DRF adds it to every answer. RFC 9110 asks for it only with 405.
            del answer.headers["Allow"]
        return answer

    def _answered(self) -> set[str]:
        return {method.lower() for method in self.allowed_methods}


def kept_private[R: HttpResponseBase](answer: R) -> R:
    """Keeps an answer out of caches: it may hold a key, or be about somebody."""
    answer.headers.setdefault("Cache-Control", "no-store")
    patch_vary_headers(answer, [wire.HEADER])
    return answer


class PublicAPIView(APIView):
    """A route that needs no token; a bad one that is sent all the same is ignored."""

    authentication_classes = ()
    permission_classes = ()


class DocumentView(APIView):
    """A GET that a remembered document answers."""

    document: documents.Document

    def get(self, request: Request) -> HttpResponse:
        return document_response(self.document, request._request)


class PublicDocumentView(PublicAPIView, DocumentView):
    """A document that needs no token. While it is remembered, nothing else has to be asked."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in READS and self.document.peek(wire.current()):
            return document_response(self.document, request)
        return super().dispatch(request, *args, **kwargs)


def document_response(document: documents.Document, request: HttpRequest) -> HttpResponse:
    found = documents.answer(document, chosen=wire.current(), **_conditions(request))
    return HttpResponse(found.body, status=found.status, headers=found.headers)


def tagged(data: Any, *, request: Request) -> HttpResponse:
    """Answers with data of this one request: with an ETag, 304 where the caller has it already."""
    found = documents.answer_once(render_json(data), **_conditions(request._request))
    return HttpResponse(found.body, status=found.status, headers=found.headers)


def _conditions(request: HttpRequest) -> dict[str, str]:
    return {
        "if_none_match": request.META.get("HTTP_IF_NONE_MATCH", ""),
        "accept_encoding": request.META.get("HTTP_ACCEPT_ENCODING", ""),
    }


def whole_list(
    request: Request,
    pages: Iterator[Sequence[Any]],
    *,
    render: Callable[[Any], Any],
    operation_id: str,
) -> HttpResponseBase:
    """Answers with a list of any length, of which two pages at most are in memory.

    More than a page is streamed. If the database goes away meanwhile, the JSON breaks off.
    Raises: APIError 429, 503 while too many are streamed.
    """
    first, second = next(pages, ()), next(pages, ())
    if not second:
        return Response(wire.apply(operation_id, [render(row) for row in first]))
    pieces = _pieces(chain([first, second], pages), render, chosen=wire.current())
    return StreamedResponse(request, pieces, content_type=JSON_CONTENT_TYPE)


def _pieces(
    pages: Iterable[Sequence[Any]], render: Callable[[Any], Any], *, chosen: wire.Wire
) -> Iterator[bytes]:
    opening = b"["
    for page in pages:
        release_connection()
        with wire.using(chosen):
            items = render_json([render(row) for row in page])[1:-1]
        yield opening + items
        opening = b","
    yield b"]"


class RootView(PublicDocumentView):
    document = documents.Document("root", lambda: render_json({"message": "👋"}), public=True)

    @operation(
        "API root handler",
        tag="General",
        description="Answers that the API is here. No session token is needed.",
        answers={200: "👋"},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)
