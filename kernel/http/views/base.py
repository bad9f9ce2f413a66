"""The base classes of API views, and streamed responses."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import batched, chain
from typing import Any, ClassVar

import django.db
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework import views
from rest_framework.request import Request

from kernel.db.connections import is_unavailable
from kernel.db.paging import PAGE_ROWS
from kernel.http import wire
from kernel.http.body import DEFAULT_CAP
from kernel.http.call import Call
from kernel.http.errors import (
    APIError,
    Validation,
    invalid,
    limit_reached,
    require_known,
)
from kernel.http.headers import WIRE_FORMAT
from kernel.http.identity import TOKEN_PARAMETERS, Identity
from kernel.http.responses import JSON_CONTENT_TYPE
from kernel.http.results import Results, results_of
from kernel.http.routes import API_RATE_LIMIT
from kernel.http.schema import operation
from kernel.http.views import documents
from kernel.http.views.handlers import error_response
from kernel.http.views.rendering import render_json
from kernel.limiter import Limiter, LimitReachedError

# A streamed response keeps one or two pages of rows in memory until the client has read it.
STREAMS = Limiter(
    "streamed answers",
    limit=64,
    per_caller=2,
    full="Too many long lists are being sent. Try again soon.",
    own_full="Your earlier requests for long lists are not finished. Read their responses first.",
)

log = logging.getLogger(__name__)


def call_of(request: Request) -> Call:
    return results_of(request).call


def require_known_parameters(parameters: Mapping[str, str], *, known: Collection[str]) -> None:
    """Raises: APIError 400 with the names of the unknown query parameters."""
    require_known(parameters.keys() - TOKEN_PARAMETERS, known=known, kind="parameter")


class APIView(views.APIView):
    """The base class of API views. Rejects unsupported methods with 405 before authentication.

    `tag` is the section of Coder's API reference that describes the operations of the view.
    """

    tag = "General"
    # The maximum size of a request body in bytes.
    max_body = DEFAULT_CAP
    # The setting with the maximum number of requests a minute. Requests are counted for each name.
    rate_limit = API_RATE_LIMIT
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Checks the method and the caller. Ignores Accept, because all responses are JSON."""
        if (request.method or "").upper() not in self.allowed_methods:
            self.http_method_not_allowed(request)
        self.perform_authentication(request)
        # If the request has a body, the exchange has checked the permissions before it was read.
        if results_of(request).permitted_by is not type(self):
            self.check_permissions(request)
        parameters = call_of(request).parameters
        method = getattr(self, (request.method or "").lower())
        # Coder ignores unknown parameters, so its operations ignore them here, too.
        if getattr(method, "stability", None):
            require_known_parameters(parameters, known=method.parameters)
        # PostgreSQL cannot store the character NUL.
        if wrong := [name for name, text in parameters.items() if "\0" in text]:
            raise invalid(*(Validation(name[:64], "must not contain NUL.") for name in wrong))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds headers for caches, which must not store keys and personal data."""
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(self.allowed_methods)
        response.headers.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, [WIRE_FORMAT])
        return response


class PublicAPIView(APIView):
    """The base class of views that do not need a token. A token in the request is ignored."""

    authentication_classes = ()
    permission_classes = ()


def rejects_without_body(view: type[Any], results: Results) -> bool:
    """Returns whether the view rejects the request before it reads the body.

    If not, the view does not check the caller's permissions again.
    """
    if not issubclass(view, APIView):
        return False
    method = results.call.method.lower()
    if method not in view.http_method_names or not hasattr(view, method):
        return True
    instance: Any = view()
    instance.request = results.call  # Some views have other permissions for other methods.
    identity = results.caller.identity
    needed = instance.get_permissions()
    if needed and (identity is None or any(each.refusal(identity) for each in needed)):
        return True
    results.permitted_by = view
    return False


class DocumentView(APIView):
    """The base class of views whose cached responses the event loop sends."""

    document: ClassVar[documents.Document]

    @classmethod
    def peek(
        cls, call: Call, chosen: wire.WireFormat, caller: Identity | None
    ) -> documents.Rendered | None:
        """Returns the cached response to a request, or None."""
        return cls.document.peek(chosen, caller)

    @classmethod
    def refusals(cls) -> tuple[Callable[[Any], APIError | None], ...]:
        """Returns the functions that return an error for a caller who may not read the document.

        Without such functions, the document needs no caller.
        """
        classes: Any = cls.permission_classes
        return tuple(permission.refusal for permission in classes)

    def get(self, request: Request) -> HttpResponse:
        caller = results_of(request).caller
        found = self.document.rendered(caller.identity, token=caller.token)
        return documents.answer(found, call_of(request)).as_response()


class PublicDocumentView(PublicAPIView, DocumentView):
    """The base class of views that return a document and do not need a token."""


def document_operation(summary: str, **more: Any) -> Any:
    """Makes the method `get` of a document's view. The arguments are those of `operation`."""

    def get(self: DocumentView, request: Request) -> HttpResponse:
        return DocumentView.get(self, request)

    return operation(summary, **more)(get)


def tagged(data: Any, *, request: Request) -> HttpResponse:
    """Returns a response with the data and an ETag, or a 304 if the client has this version."""
    rendered = documents.Rendered(render_json(data))
    return documents.answer(rendered, call_of(request)).as_response()


def json_response(data: Any, *, status: int = 200) -> HttpResponse:
    """Returns the data as JSON. Views do not use DRF's `Response`, which is ten times slower."""
    return HttpResponse(render_json(data), status=status, content_type=JSON_CONTENT_TYPE)


# --- Streamed responses ------------------------------------------------------------------------


class StreamedResponse(StreamingHttpResponse):
    """A response that is sent piece by piece.

    If the database becomes unavailable, the response ends as if it were complete. A client can
    detect this only from the content, for example from incomplete JSON. After any other error, the
    server closes the connection.

    Raises: LimitReachedError if too many responses are being streamed.
    """

    def __init__(self, request: Any, pieces: Iterable[bytes], **more: Any) -> None:
        slot = STREAMS.acquire(request.user.pk)
        # If a response is never closed, the garbage collector releases its slot.
        self._release = weakref.finalize(self, STREAMS.release, slot)
        super().__init__(_logged(pieces, results_of(request).request_id), **more)

    def close(self) -> None:
        super().close()
        self._release()


def _logged(pieces: Iterable[bytes], request_id: str) -> Iterator[bytes]:
    """Yields the pieces. Logs a line and stops if the database becomes unavailable."""
    try:
        yield from pieces
    except django.db.Error as error:
        if not is_unavailable(error):
            raise
        name = type(error).__name__
        log.warning("The response to request %s is incomplete: %s", request_id, name)


def download(
    request: HttpRequest, lines: Iterable[bytes], *, content_type: str, name: str
) -> HttpResponseBase:
    """Returns a file to download, or a 429 or 503 if too many responses are being streamed."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    try:
        return StreamedResponse(request, _blocks(lines), content_type=content_type, headers=headers)
    except LimitReachedError as error:
        return error_response(limit_reached(error))


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    for block in batched(lines, PAGE_ROWS):
        yield b"".join(block)


def whole_list(
    request: Request,
    pages: Iterator[Sequence[Any]],
    *,
    render: Callable[[Any], Any],
    operation_id: str,
) -> HttpResponseBase:
    """Returns a list of any length as a response. At most two pages are in memory.

    A list of more than one page is streamed. If the database becomes unavailable meanwhile, the
    JSON is incomplete. Raises: LimitReachedError if too many responses are being streamed.
    """
    first, second = next(pages, ()), next(pages, ())
    if not second:
        return json_response(wire.apply(operation_id, [render(row) for row in first]))
    pieces = _pieces(chain([first, second], pages), render, chosen=wire.current())
    return StreamedResponse(request, pieces, content_type=JSON_CONTENT_TYPE)


def _pieces(
    pages: Iterable[Sequence[Any]], render: Callable[[Any], Any], *, chosen: wire.WireFormat
) -> Iterator[bytes]:
    opening = b"["
    for page in pages:
        with wire.using(chosen):
            items = render_json([render(row) for row in page])[1:-1]
        yield opening + items
        opening = b","
    yield b"]"
