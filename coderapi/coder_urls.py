"""The URL configuration with CODERAPI_USER_SOURCE=coder. The users and tokens belong to Coder."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.clickjacking import xframe_options_deny

from beside import admin_access
from beside.urls import ACCOUNTS
from coderapi.pages.content_policy import ContentPolicyMiddleware
from coderapi.urls import (
    CODER,
    handler400,
    handler403,
    handler404,
    handler500,
    operations,
    others,
    pages,
)
from kernel.http import CODER_API

# An HTML page below the API, whose requests skip the middleware of pages.
come_back = decorator_from_middleware(ContentPolicyMiddleware)(
    xframe_options_deny(admin_access.come_back)
)

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    *operations,
    path(CODER, include("beside.urls")),
    *others,
    re_path(f"^{CODER_API[1:]}{settings.PAGES_PATH}admin/", come_back),
    *pages(ACCOUNTS),
]
