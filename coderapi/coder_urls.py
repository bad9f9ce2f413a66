"""The URL configuration with CODERAPI_USER_SOURCE=coder. The users and tokens belong to Coder."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path

from beside import admin_access
from beside.urls import ACCOUNTS
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

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    *operations,
    path(CODER, include("beside.urls")),
    *others,
    re_path(f"^{CODER_API[1:]}{settings.PAGES_PATH}admin/", admin_access.come_back),
    *pages(ACCOUNTS),
]
