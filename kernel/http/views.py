"""The bases of every view under /api/v2, and the API's root."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework import exceptions, views
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http import documents, wire
from kernel.http.schema.operations import operation

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
        return kept_private(super().finalize_response(request, response, *args, **kwargs))

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
    found = documents.answer(
        document,
        chosen=wire.current(),
        if_none_match=request.META.get("HTTP_IF_NONE_MATCH", ""),
        accept_encoding=request.META.get("HTTP_ACCEPT_ENCODING", ""),
    )
    return HttpResponse(found.body, status=found.status, headers=found.headers)


class RootView(PublicAPIView):
    @operation(
        "API root handler",
        tag="General",
        description="Answers that the API is here. No session token is needed.",
        answers={200: "👋"},
    )
    def get(self, request: Request) -> Response:
        return Response({"message": "👋"})
