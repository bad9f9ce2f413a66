"""Lets pages of other origins read responses (CORS)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from kernel.http import is_api_path
from kernel.http.asking import Asking
from kernel.http.call import Call
from kernel.http.headers import BUILD_VERSION, REQUEST_ID, SESSION_TOKEN, WIRE_FORMAT
from kernel.http.responses import Answer
from kernel.http.results import Results
from kernel.settings import settings

ALLOW_ORIGIN = "Access-Control-Allow-Origin"
EXPOSE_HEADERS = f"{BUILD_VERSION}, {REQUEST_ID}"
OPTIONS = {
    "Access-Control-Allow-Headers": "accept, authorization, content-type, "
    f"{SESSION_TOKEN.lower()}, {WIRE_FORMAT.lower()}",
    "Access-Control-Allow-Methods": "DELETE, GET, OPTIONS, PATCH, POST, PUT",
    # A browser asks again after a day.
    "Access-Control-Max-Age": "86400",
}

# Returns whether pages of an origin may read the response to a request, and send it.
type IsOpen = Callable[[Call], Asking[bool]]
type Outcome = dict[str, str] | Answer


def cors(is_open_to: IsOpen) -> Callable[[Call, Results], Asking[Outcome] | None]:
    """Returns a step that finds the CORS headers of a response, and answers preflight requests.

    Only the API has such headers. If not all origins are allowed, `is_open_to` decides.
    """

    def step(call: Call, _: Results) -> Asking[Outcome] | None:
        has_headers = call.headers.get("origin") or settings.CORS_ALLOW_ALL_ORIGINS
        return _outcome(call, is_open_to) if has_headers and is_api_path(call.path) else None

    return step


async def _outcome(call: Call, is_open_to: IsOpen) -> Outcome:
    """Returns the response to a preflight request, or the headers of another response."""
    origin = call.headers.get("origin", "")
    is_open = settings.CORS_ALLOW_ALL_ORIGINS or await is_open_to(call)
    is_options, headers = call.method == "OPTIONS", {"Vary": "origin"}
    if is_open and origin:
        headers[ALLOW_ORIGIN] = "*" if settings.CORS_ALLOW_ALL_ORIGINS else origin
        headers["Access-Control-Expose-Headers"] = EXPOSE_HEADERS
        headers |= OPTIONS if is_options else {}
    if is_options and "access-control-request-method" in call.headers:
        return Answer.whole(HTTPStatus.OK, headers)
    return headers
