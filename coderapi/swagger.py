"""`/swagger`: the API for people, in Swagger UI from our own files, where the operator wants it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request

from kernel.http import wire
from kernel.http.documents import Document
from kernel.http.rendering import render_json
from kernel.http.schema.document import openapi
from kernel.http.views import PublicDocumentView

PATH = "/swagger"
DOCUMENT_PATH = f"{PATH}/openapi.json"
# Swagger UI draws its icons from data: URLs.
POLICY = {**settings.SECURE_CSP, "img-src": [*settings.SECURE_CSP["img-src"], "data:"]}


def check_enabled() -> None:
    """Raises: Http404 unless CODER_SWAGGER_ENABLE."""
    if not settings.SWAGGER_ENABLE:
        raise Http404


@method_decorator(csp_override(POLICY), name="dispatch")
class SwaggerView(SpectacularSwaggerSplitView):
    """The page; with `?script` the script that starts it, since no inline one is allowed."""

    authentication_classes = ()
    permission_classes = ()
    template_name = "coderapi/swagger.html"
    url = DOCUMENT_PATH
    url_self = PATH

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_enabled()
        super().initial(request, *args, **kwargs)


class OpenAPIView(PublicDocumentView):
    """The OpenAPI document of the request's wire, as JSON."""

    document = Document("openapi", lambda: render_json(openapi(wire.current())), public=True)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_enabled()
        super().initial(request, *args, **kwargs)
