"""How answers are handed to the server."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from kernel.http.rendering import complete

# A closed answer lets Django look at its connections, of which another test may have left one.
pytestmark = pytest.mark.django_db


class Closing:
    """Notes whether an answer was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def handed_over(response: HttpResponseBase) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        return response

    return complete(app)({}, lambda *_: lambda _: None)


def test_complete_answer_is_a_list_of_its_bytes_and_closed() -> None:
    response, resource = HttpResponse(b"ok"), Closing()
    response._resource_closers.append(resource.close)  # type: ignore[attr-defined]
    assert handed_over(response) == [b"ok"]
    assert resource.closed


@pytest.mark.parametrize("pieces", [[], [b"a", b"b"]])
def test_streamed_answer_stays_a_stream_that_the_server_closes(pieces: list[bytes]) -> None:
    response, resource = StreamingHttpResponse(iter(pieces)), Closing()
    response._resource_closers.append(resource.close)  # type: ignore[attr-defined]
    found = handed_over(response)
    assert list(found) == pieces
    assert not resource.closed
    found.close()
    assert resource.closed
