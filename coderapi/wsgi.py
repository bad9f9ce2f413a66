"""The WSGI application of a worker process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")

django_application = get_wsgi_application()


def _application() -> WSGIApplication:
    from django.conf import settings

    from coderapi import listener, measures
    from coderapi.body import bounded
    from coderapi.limits import cap_for

    listener.start()
    measures.start_sampling()
    return bounded(
        django_application,
        cap_for=cap_for,
        build_version=settings.BUILD_VERSION,
        most_slow=max(1, settings.WEB_THREADS * 3 // 4),
    )


application = _application()
