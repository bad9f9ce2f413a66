"""Reports in the event loop: what is prepared in the loop, and what in a thread."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from csp.collection import MAX_BYTES_IN_LOOP, collect
from csp.models import Report
from kernel import memory
from kernel.http.call import Call
from kernel.http.results import Results
from tests.support.api.asking import ask_in_loop
from tests.support.csp.reports import PATH, as_bytes, entries, legacy, modern
from tests.support.servers.front import arrived
from tokens.token_format import random_name

pytestmark = pytest.mark.usefixtures("collecting", "_public")


@pytest.fixture
def _public(settings: LazySettings) -> None:
    settings.CSP_ALLOWED_SENDERS = "public"


class Evicting(dict[str, str]):
    """Headers. When the User-Agent is read, all memories are cleared, as by another thread."""

    def get(self, name: str, default: Any = None, /) -> Any:
        if name == "user-agent":
            memory.clear_all()
        return super().get(name, default)


def collected(body: bytes, *, headers: dict[str, str] | None = None, query: str = "") -> int:
    """Collects the reports in an event loop. Returns how many functions ran in a thread."""
    ran: list[Callable[[], Any]] = []

    def submit(function: Callable[[], Any]) -> Future[Any]:
        ran.append(function)
        return pool.submit(function)

    async def read() -> bytes:
        return await arrived(body).read(len(body))

    call = Call("POST", PATH, query, headers if headers is not None else {}, "192.0.2.1", "http")
    results = Results(call, "192.0.2.1")
    with ThreadPoolExecutor(1) as pool:
        ask_in_loop(collect(results, read, now=timezone.now()), submit)
    return len(ran)


SMALL = b'{"csp-report": {"blocked-uri": "https://cdn.example.net/lib.js"}}'


def test_small_report_needs_no_thread_if_all_it_needs_is_in_memory() -> None:
    memory.clear_all()
    assert [collected(SMALL) for _ in range(3)] == [1, 0, 0]
    assert Report.objects.count() == 3


def test_large_body_is_prepared_in_a_thread_until_its_parts_are_in_memory() -> None:
    # No other test has sent this body.
    large = as_bytes(legacy(script_sample=random_name() + "x" * MAX_BYTES_IN_LOOP))
    assert [collected(body) for body in (SMALL, large, large)] == [1, 1, 0]
    assert Report.objects.count() == 3


def test_report_needs_no_query_if_memory_is_cleared_meanwhile() -> None:
    """The query in the event loop would fail."""
    collected(SMALL)
    assert collected(SMALL, headers=Evicting()) == 0
    assert Report.objects.count() == 2


def test_long_texts_of_reports_do_not_stay_in_memory() -> None:
    """Caches keep thousands of texts, and anyone may send these."""

    def send_long(number: int) -> None:
        long = f"{number}" + "x" * 500_000
        report = modern(documentURL=f"https://coder.example.com/{long}")
        entries([report | {"user_agent": long}])

    tracemalloc.start()
    try:
        send_long(0)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 11):
            send_long(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000
