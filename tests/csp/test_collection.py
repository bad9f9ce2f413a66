"""Reports in the event loop: what is prepared in the loop, and what in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from csp.collection import MAX_BYTES_IN_LOOP, collect_in_loop
from csp.models import Report
from kernel import memory
from kernel.http.call import Call
from kernel.http.steps import Results
from tests.support.csp_reports import PATH, as_bytes, legacy
from tokens.token_format import random_name

pytestmark = pytest.mark.usefixtures("collecting", "_public")


@pytest.fixture
def _public(settings: LazySettings) -> None:
    settings.CSP_ACCESS = "public"


class Evicting(dict[str, str]):
    """Headers. When the Origin is read, all memories are cleared, as by another thread."""

    def get(self, name: str, default: Any = None, /) -> Any:
        if name == "origin":
            memory.clear_all()
        return super().get(name, default)


def collect(body: bytes, *, headers: dict[str, str] | None = None, query: str = "") -> int:
    """Collects the reports in an event loop. Returns how many functions ran in a thread."""
    ran: list[Callable[[], Any]] = []

    async def run(function: Callable[[], Any]) -> Any:
        ran.append(function)
        return await asyncio.to_thread(function)

    call = Call("POST", PATH, query, headers if headers is not None else {}, "192.0.2.1", "http")
    results = Results(call, path=PATH, address="192.0.2.1")
    asyncio.run(collect_in_loop(results, body, now=timezone.now(), run=run))
    return len(ran)


SMALL = b'{"csp-report": {"blocked-uri": "https://cdn.example.net/lib.js"}}'


def test_small_report_needs_no_thread_if_all_it_needs_is_in_memory() -> None:
    memory.clear_all()
    assert [collect(SMALL) for _ in range(3)] == [1, 0, 0]
    assert Report.objects.count() == 3


def test_large_body_is_prepared_in_a_thread_until_its_parts_are_in_memory() -> None:
    # No other test has sent this body.
    large = as_bytes(legacy(script_sample=random_name() + "x" * MAX_BYTES_IN_LOOP))
    assert [collect(body) for body in (SMALL, large, large)] == [1, 1, 0]
    assert Report.objects.count() == 3


def test_report_is_prepared_in_a_thread_if_memory_is_cleared_meanwhile() -> None:
    """Otherwise, the query in the event loop would fail."""
    collect(SMALL)
    assert collect(SMALL, headers=Evicting()) == 1
    assert Report.objects.count() == 2
