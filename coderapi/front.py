"""The routes that need no Django: cached documents, and CSP reports.

Without these routes, Django handles the same requests. A test compares the responses of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from django.urls import get_resolver

from csp.views import ReportView, collect_reports
from kernel.http import documents, is_api_path
from kernel.http.asking import Asking
from kernel.http.body import Read
from kernel.http.call import first_parameters
from kernel.http.errors import APIError
from kernel.http.exchange import Route
from kernel.http.responses import Answer
from kernel.http.results import Ask, Results
from kernel.http.views import DocumentView, view_classes
from users.selectors import ME

READS = frozenset({"GET", "HEAD"})

# Functions that return an error for a caller who may not read a document.
type Refusals = Sequence[Callable[[Any], APIError | None]]


@cache
def routes(urlconf: str) -> dict[str, Route]:
    """Returns the routes of `urlconf` that need no Django, as a mapping from path to route."""
    found = {}
    for path, view in view_classes(get_resolver(urlconf)):
        if issubclass(view, ReportView):
            operation = view.post.operation_id
            found[path] = Route(frozenset({"POST"}), operation, collect_reports, view.max_body)
        elif issubclass(view, DocumentView) and is_api_path(path):
            # Only the document of the caller, whose path contains `me`, is cached.
            respond = partial(_cached_document, view, view.refusals())
            found[path.replace("<user:user>", ME)] = Route(READS, view.get.operation_id, respond)
    return found


def _cached_document(
    view: type[DocumentView], refusals: Refusals, results: Results, read: Read
) -> Asking[Answer | None]:
    """Returns the document if it is cached and the caller may read it, or None.

    A thread compresses it first if that is necessary, because compressing takes milliseconds.
    """
    call, identity = results.call, results.caller.identity
    for refused in refusals:
        if identity is None or refused(identity):
            return None
    rendered = view.peek(first_parameters(call), results.wire, identity)
    if rendered is None:
        return None
    ready = documents.ready_answer(rendered, call)
    if ready is None:
        ready = yield Ask(partial(documents.answer, rendered, call))
    return ready
