"""How an answer is handed to the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.http import HttpResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def complete(app: WSGIApplication) -> WSGIApplication:
    """The same application; an answer that is complete is handed over as a list of its bytes.

    The server sends a list at once. Of anything else it asks for one piece after the other, each
    time by a thread that has to wait for the interpreter.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = app(environ, start_response)
        if not isinstance(response, HttpResponse):
            return response
        # Of what is closed nothing is left but its content, and the server closes no list.
        response.close()
        return [response.content]

    return answer
