"""The views that belong to no app: the root of the API, health checks and Swagger UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request

from coderapi.openapi.document import openapi
from coderapi.readiness import STOPPING, UNREADY, readiness
from kernel.http import wire
from kernel.http.errors import APIError
from kernel.http.responses import JSON_CONTENT_TYPE, Answer
from kernel.http.views.base import PublicDocumentView, document_operation
from kernel.http.views.documents import Document
from kernel.http.views.handlers import error_response
from kernel.http.views.rendering import render_json
from kernel.loops import stopping

SWAGGER_PATH = f"{settings.PAGES_PATH}swagger"

# --- The root of the API ----------------------------------------------------------------------


class RootView(PublicDocumentView):
    document = Document("root", lambda: render_json({"message": "👋"}), public=True)

    get = document_operation(
        "API root handler",
        description="Confirms that the API is available. No session token is needed.",
        answers={200: "👋"},
    )


# --- Health -----------------------------------------------------------------------------------

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
type View = Callable[[HttpRequest], HttpResponse]


def only(*methods: str) -> Callable[[View], View]:
    """Returns a decorator that rejects other methods with a 405 error in the API's format."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            if request.method in methods:
                return view(request)
            allow = {"Allow": ", ".join(methods)}
            return error_response(APIError(405, "Method not allowed.", headers=allow))

        return answer

    return decorate


# Coder's dashboard measures the latency to this server from another origin.
ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Timing-Allow-Origin": "*",
    "Cache-Control": "no-store",
}


@only("GET", "HEAD", "OPTIONS")
def latency_check(request: HttpRequest) -> HttpResponse:
    return Answer.whole(200, TEXT | ANY_ORIGIN, b"OK").as_response()


def healthz() -> Answer:
    return Answer.whole(200, TEXT, b"OK")


def livez() -> Answer:
    return _json({"status": "ok"})


def readyz() -> Answer:
    """Returns the state of this process. It is 503 if the process cannot serve requests."""
    state = STOPPING if stopping.is_set() else readiness()
    return _json(state, status=503 if state["status"] == UNREADY else 200)


def _json(state: Mapping[str, Any], *, status: int = 200) -> Answer:
    return Answer.whole(status, {"Content-Type": JSON_CONTENT_TYPE}, render_json(state))


# The event loop of a web worker calls them, so they must not block.
PROBES: Mapping[str, Callable[[], Answer]] = {
    f"/{probe.__name__}": probe for probe in (healthz, livez, readyz)
}


def view_of(probe: Callable[[], Answer]) -> View:
    @only("GET", "HEAD")
    @wraps(probe)
    def view(request: HttpRequest) -> HttpResponse:
        return probe().as_response()

    return view


# --- Swagger UI -------------------------------------------------------------------------------

# Swagger UI draws its icons from data: URLs.
POLICY = {**settings.SECURE_CSP, "img-src": [*settings.SECURE_CSP["img-src"], "data:"]}


class _WhereEnabled:
    """A mixin for views that return 404 unless CODER_SWAGGER_ENABLE is set."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not settings.SWAGGER_ENABLE:
            raise Http404
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # APIView's method.


@method_decorator(csp_override(POLICY), name="dispatch")
class SwaggerView(_WhereEnabled, SpectacularSwaggerSplitView):
    """The page of Swagger UI. With `?script`, returns the page's script.

    The script is separate because the Content-Security-Policy forbids inline scripts.
    """

    authentication_classes = ()
    permission_classes = ()
    template_name = "coderapi/swagger.html"
    url = f"{SWAGGER_PATH}/openapi.json"
    url_self = SWAGGER_PATH

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """Ignores the Accept header, because the page has only one form."""
        return super().perform_content_negotiation(request, force=True)


class OpenAPIView(_WhereEnabled, PublicDocumentView):
    """The OpenAPI document as JSON, for the wire format of the request."""

    document = Document("openapi", lambda: render_json(openapi(wire.current())), public=True)
