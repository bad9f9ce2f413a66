"""Serves the configuration of the Coder deployment, if CODERAPI_CONFIG_SOURCE is `coder`.

Six documents then have the content of Coder's responses instead of our own. Each document is
requested from Coder at most every ten seconds for each wire format, with the session token of the
caller. Other requests get the cached document. If Coder does not respond, its last response is used
for up to five minutes. After that, the response is 503. Our own values are never used instead.

A changed configuration is recorded in the history. Secrets are removed when a response arrives, so
they are neither cached nor stored.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework import serializers

from beside import client
from beside.client import CoderAnswer, CoderUnavailableError, ask
from beside.configuration import translation
from deployment import history
from deployment.serializers import (
    BuildInfoResponse,
    SSHConfigResponse,
    UpdateCheckResponse,
)
from deployment.views import BuildInfoView, DeploymentConfigView, SSHConfigView, UpdateCheckView
from experiments.views import EnabledExperimentsView, SafeExperimentsView
from kernel.failures import Failures
from kernel.http import responses, wire
from kernel.http.errors import forbidden, unavailable
from kernel.http.views.documents import Document
from kernel.http.views.rendering import WireSerializer, render_json
from kernel.http.wire import WireFormat
from kernel.outgoing import redacted
from tokens.verification import refusals
from tokens.verification.keys import is_ours

# Shorter than the time that other requests wait for the same document, so that they get it too.
SECONDS = 0.8
MAX_BYTES = 4 * 1024 * 1024
LAST_SECONDS = 300.0
CONFIG = "/api/v2/deployment/config"


@dataclass(frozen=True, slots=True)
class CoderDocument:
    """A document with the content of Coder's response.

    `documented` converts the response to the documented format. Before that, `read` checks or
    changes the response. For the configuration, it removes secrets, and records a revision.
    """

    document: Document
    path: str
    documented: Callable[[Any], Any]
    read: Callable[[Any], Any] = lambda found: found


# The last response for each path, and the time at which it arrived.
ANSWERS: dict[str, tuple[float, Any]] = {}
# The failures of each path since its last response.
FAILURES: defaultdict[str, Failures] = defaultdict(
    partial(Failures, "A document of Coder is not available: %s")
)


def use_coder(*, seconds: float = SECONDS) -> None:
    """Replaces the content of the documents. A response takes at most `seconds`."""
    for one in DOCUMENTS:
        one.document.use_source(partial(_body, one, seconds))
    responses.version_source = client.version


def _body(one: CoderDocument, seconds: float, token: str) -> bytes:
    """Renders Coder's response, or its last one if Coder does not respond.

    Raises: APIError 401 or 403 if Coder rejects the caller, 503 without a recent response.
    """
    try:
        found = _fetched(one, token, seconds=seconds)
    except CoderUnavailableError as error:
        FAILURES[one.path].add(str(error))
        arrived_at, found = ANSWERS.get(one.path, (float("-inf"), None))
        if time.monotonic() - arrived_at > LAST_SECONDS:
            detail = "The Coder deployment does not respond, or its response cannot be used."
            raise unavailable(detail) from None
    else:
        ANSWERS[one.path] = time.monotonic(), found
        FAILURES[one.path].end()
    return render_json(one.documented(found) if wire.current() is WireFormat.DOCUMENTED else found)


def recent_problems() -> list[tuple[str, str]]:
    """Returns the paths that failed in the last five minutes, and the reasons."""
    start = time.monotonic() - LAST_SECONDS
    return [(path, each.reason) for path, each in sorted(FAILURES.items()) if each.last_at >= start]


def _fetched(one: CoderDocument, token: str, *, seconds: float) -> Any:
    answer = CoderAnswer(one.path, 401, None)
    for each in [""] if one.document.public else _tokens(token):
        answer = ask(one.path, token=each, seconds=seconds, max_bytes=MAX_BYTES)
        if answer.status != 401:
            break
    if answer.status == 403 and not one.document.public:
        raise forbidden("The Coder deployment rejected the request.")
    if answer.status == 401 and not (one.document.public or settings.CODER_TOKEN):
        raise refusals.unknown()
    return answer.read(partial(_usable, one))


def _usable(one: CoderDocument, value: Any) -> Any:
    found = one.read(value)
    # A response that cannot be sent or stored must not replace the last one.
    render_json(one.documented(found))
    return found


def _tokens(token: str) -> list[str]:
    """Returns the tokens to send to Coder, in order.

    Our own keys are not valid in Coder, and are not sent to it. For a caller with such a key, the
    service token is used. The view has checked the permission of the caller.
    """
    own = [token] if settings.USER_SOURCE == "coder" and not is_ours(token) else []
    return [*own, *filter(None, [settings.CODER_TOKEN])]


# --- The responses ----------------------------------------------------------------------------

EMPTY = {serializers.CharField: "", serializers.BooleanField: False, serializers.DictField: {}}


def _filled(shape: type[WireSerializer]) -> Callable[[Any], Any]:
    """Builds a function that converts a response to the documented format.

    It adds the members that an older release of Coder does not have. Members that are not known
    here are passed on.
    """
    empty = {name: EMPTY[type(field)] for name, field in shape().fields.items()}
    row = wire.TABLE.get(shape.component)

    def filled(found: Any) -> Any:
        known = empty | {key: value for key, value in found.items() if value is not None}
        return row.documented(known) if row else known

    return filled


def _names(value: Any) -> list[str]:
    if not isinstance(value, list | None):
        raise TypeError("a list is expected")
    return [str(name) for name in value or ()]


def _configuration(value: Any) -> dict[str, Any]:
    """Returns Coder's configuration without secrets. Records it if it has changed."""
    found = translation.stripped(value)
    if found != ANSWERS.get(CONFIG, (0.0, None))[1]:
        snapshot = translation.snapshot(found)
        server = redacted(settings.CODER_URL)[:255]
        history.record(snapshot, version=client.version(), now=timezone.now(), coder_url=server)
    return found


DOCUMENTS = (
    CoderDocument(BuildInfoView.document, "/api/v2/buildinfo", _filled(BuildInfoResponse)),
    CoderDocument(UpdateCheckView.document, "/api/v2/updatecheck", _filled(UpdateCheckResponse)),
    CoderDocument(DeploymentConfigView.document, CONFIG, translation.documented, _configuration),
    CoderDocument(SSHConfigView.document, "/api/v2/deployment/ssh", _filled(SSHConfigResponse)),
    CoderDocument(EnabledExperimentsView.document, "/api/v2/experiments", _names, _names),
    CoderDocument(
        SafeExperimentsView.document,
        "/api/v2/experiments/available",
        lambda found: found["safe"],
        lambda value: {"safe": _names(value["safe"])},
    ),
)
