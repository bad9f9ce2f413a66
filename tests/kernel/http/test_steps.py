"""The steps of a request: their order, their results, and results that are not in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import RequestFactory

from coderapi.steps import STEPS
from kernel.http.asking import Asking, run
from kernel.http.call import Call, from_environ, header_name, join_header
from kernel.http.errors import APIError
from kernel.http.exchange import walk
from kernel.http.middleware import StepsMiddleware
from kernel.http.responses import Answer
from kernel.http.results import KEY, UNKNOWN, Ask, Results, Step
from kernel.http.wire import WireFormat
from tests.support.api.calls import make_call
from tests.support.api.client import APIClient
from tests.support.factories import make_key, make_user

API = "/api/v2"
SIGN_IN = f"{API}/users/login"
REFUSED = APIError(400, "No.")


def raising(error: Exception) -> Any:
    def step(call: Call, found: Results) -> None:
        raise error

    return step


def asking(query: Callable[[], Any]) -> Callable[..., Asking[Any]]:
    async def step(call: Call, found: Results) -> Any:
        return await Ask(query)

    return step


def ran(*taken: Step) -> tuple[Results, Answer | None]:
    results = Results(make_call(), "")
    return results, run(walk(taken, results))


def test_result_of_a_step_is_seen_by_later_steps() -> None:
    second = Step("address", lambda _, found: f"of {found.operation}")
    seen, answer = ran(Step("operation", lambda *_: "a"), second)
    assert (seen.operation, seen.address, answer) == ("a", "of a", None)


@pytest.mark.parametrize(
    "ends",
    [
        lambda *_: REFUSED.answer(),
        raising(REFUSED),
        asking(REFUSED.answer),
        asking(partial(raising(REFUSED), None, None)),
    ],
)
def test_step_with_an_answer_or_an_error_ends_the_request(ends: Any) -> None:
    seen, answer = ran(Step("operation", ends), Step("address", lambda *_: "later"))
    assert answer
    assert (answer.status, seen.operation, seen.address) == (400, UNKNOWN, "")


def test_loop_answers_each_ask_itself() -> None:
    results = Results(make_call(), "")
    steps = [Step(name, asking(lambda: "x")) for name in ("operation", "address")]
    walking = walk(steps, results)
    assert walking.send(None).query() == "x"
    assert walking.send("from a thread").query() == "x"
    with pytest.raises(StopIteration) as ended:
        walking.throw(REFUSED)
    assert (results.operation, ended.value.value.status) == ("from a thread", 400)


@pytest.mark.parametrize(
    "ask", [raising(KeyError()), asking(partial(raising(KeyError()), None, None))]
)
def test_unexpected_error_is_raised(ask: Any) -> None:
    with pytest.raises(KeyError):
        ran(Step("operation", ask))


BROKEN = (Step("operation", raising(KeyError("x"))),)


def test_step_that_fails_is_a_logged_500_with_the_common_headers(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STEPS = f"{__name__}.BROKEN"
    answer = APIClient().get(f"{API}/buildinfo")
    assert answer.status_code == 500
    assert answer["X-Coder-Request-Id"] in answer.json()["detail"]
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"host": "[", "coderapi-wire-format": "x", "origin": "http://a"}, 400, "Host header"),
        ({"coderapi-wire-format": "x", "origin": "http://a"}, 400, "Coderapi-Wire-Format"),
        ({"origin": "http://a"}, 400, "Another site"),
        ({"coder-session-token": "x"}, 429, "Too many"),
    ],
)
def test_first_refusal_in_the_order_of_the_steps_is_sent(
    settings: Any, headers: dict[str, str], status: int, message: str
) -> None:
    settings.SIGN_IN_RATE_LIMIT = 0
    call = make_call(headers, method="POST", path=SIGN_IN, server="testserver")
    answer = run(walk(STEPS, Results(call, "127.0.0.1")))
    assert answer
    assert answer.status == status
    assert message in answer.body.decode()


@pytest.mark.django_db
def test_django_takes_over_the_results_and_counts_no_request_again(settings: Any) -> None:
    owner = make_user("owner")
    token = make_key(owner).token
    call = make_call(
        {"coder-session-token": token, "coderapi-wire-format": "coderd"},
        path=f"{API}/users/me",
        server="testserver",
    )
    results = Results(call, "127.0.0.1")
    run(walk(STEPS, results))
    assert results.limit
    assert results.caller.identity
    assert results.wire_format is WireFormat.CODERD
    seen: list[Any] = []

    def view(request: Any) -> Any:
        seen.append((request.path, request.results.caller.identity, request.results.address))
        return REFUSED.answer().as_response()

    request = RequestFactory().get("/elsewhere")
    request.META[KEY] = results
    response = StepsMiddleware(view)(request)
    assert seen == [(f"{API}/users/me", results.caller.identity, "127.0.0.1")]
    # The server adds the headers of the steps.
    assert "X-Coder-Request-Id" not in response


def test_headers_that_are_sent_twice_are_joined() -> None:
    headers = {"cookie": "a=b", "x-a": "1"}
    join_header(headers, header_name(b"Cookie"), "c=d")
    join_header(headers, header_name(b"X-A"), "\xe9")
    assert headers == {"cookie": "a=b; c=d", "x-a": "1,\xe9"}


def test_call_of_djangos_request_has_its_headers() -> None:
    request = RequestFactory().post("/a//b?b=%20", headers={"Coder-Session-Token": "x"}, data={})
    call = from_environ(request.META, request.path_info)
    assert (call.method, call.path, call.query) == ("POST", "/a/b", "b=%20")
    assert call.headers["coder-session-token"] == "x"
    assert call.server == "testserver"
