from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, connections
from django.db.models import Sum
from django.utils import timezone

from csp.models import CommittedBatch, Group, GroupHour, Report
from csp.writing import writer
from csp.writing.writer import GroupCommit
from kernel.http.asking import run
from kernel.http.errors import APIError
from tests.support.api.asking import ask, ask_in_loop
from tests.support.api.client import APIClient
from tests.support.csp.reports import entries, legacy, modern, send, writer_without_database
from tests.support.databases.database_relay import relay
from tests.support.processes import DEADLINE_SECONDS, end_sessions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]


def report(host: int = 0) -> bool:
    """Returns whether the writer has acknowledged a report."""
    body = legacy(blocked_uri=f"https://host{host}.example.net/")
    try:
        run(writer.write(entries(body, now=timezone.now())))
    except APIError as error:
        if error.status != 503:
            raise
        return False
    finally:
        # Only this thread could give its connection back to the pool.
        connection.close()
    return True


def assert_counted(reports: int) -> None:
    """Asserts that rows, groups and hourly counts have the same sum."""
    assert Report.objects.count() == reports
    assert (Group.objects.aggregate(n=Sum("reports"))["n"] or 0) == reports
    assert (GroupHour.objects.aggregate(n=Sum("reports"))["n"] or 0) == reports


@pytest.mark.slow
def test_broken_connections_lose_nothing_and_count_nothing_twice() -> None:
    # On a busy machine, breaking them after each interval could prevent every commit.
    progress = threading.Event()
    done = threading.Event()

    def break_them() -> None:
        while not done.is_set():
            if progress.wait(0.2):
                progress.clear()
                end_sessions("coderapi csp writer")
        connections.close_all()

    def noted(number: int) -> bool:
        is_acknowledged = report(number % 7)
        if is_acknowledged:
            progress.set()
        return is_acknowledged

    breaker = threading.Thread(target=break_them)
    breaker.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            acknowledged = sum(pool.map(noted, range(600)))
    finally:
        done.set()
        breaker.join()
    assert acknowledged > 0
    assert_counted(acknowledged)


def test_many_at_once_share_their_commits() -> None:
    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(lambda number: report(number % 5), range(320)))
    assert_counted(320)
    assert CommittedBatch.objects.count() < 320


@pytest.mark.parametrize("committed", [True, False])
def test_commit_with_a_lost_answer_counts_once(
    tmp_path_factory: pytest.TempPathFactory, settings: LazySettings, committed: bool
) -> None:
    directory = tmp_path_factory.mktemp("pg")
    with relay(directory, pattern=b'"group_blocked_source":', pass_on=committed) as between:
        between.break_next()
        settings.DIRECT_DATABASE_URL = between.url
        assert report()
        writer.stop()
    assert between.broken == 1
    assert_counted(1)


def test_unavailable_database_is_503_until_it_is_back(
    member: APIClient, settings: LazySettings, tmp_path: Path
) -> None:
    with writer_without_database(settings, tmp_path):
        answer = send(member, legacy())
        assert answer.status_code == 503
        assert answer["Retry-After"]
    assert send(member, [modern()]).status_code == 200
    assert_counted(1)


def test_dropped_partition_is_created_again() -> None:
    assert report()
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM csp_report")
        name = cursor.fetchone()[0]
        cursor.execute(f'DROP TABLE "{name}"')
    assert report()
    assert Group.objects.get().reports == 2


class Slow:
    """A database that answers when the test allows it, and rejects one number."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.rejected = 0
        self.started = threading.Event()
        self.may_answer = threading.Event()

    def commit(self, items: list[int]) -> None:
        self.started.set()
        self.may_answer.wait(DEADLINE_SECONDS)
        if self.rejected in items:
            raise ValueError
        self.written += items


@pytest.fixture
def database() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.may_answer.set()


def submit(commits: GroupCommit[int], items: list[int], *, timeout: float = 30.0) -> None:
    """Waits for the commit in this thread."""
    run(commits.submit(items, timeout=timeout))


def submit_in_loop(commits: GroupCommit[int], items: list[int], *, timeout: float = 30.0) -> None:
    """Waits for the commit in an event loop."""
    ask_in_loop(commits.submit(items, timeout=timeout))


WAYS = [submit, submit_in_loop]


@pytest.mark.parametrize("way", WAYS)
def test_report_answered_503_is_not_written_later(database: Slow, way: Callable[..., None]) -> None:
    commits = GroupCommit(database.commit, close=lambda: None)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(way, commits, [1])
        database.started.wait(DEADLINE_SECONDS)
        with pytest.raises(APIError) as refused:
            way(commits, [2], timeout=0.01)
        database.may_answer.set()
        first.result(30)
    commits.stop()
    assert refused.value.status == 503
    assert database.written == [1]


@pytest.mark.parametrize("way", WAYS)
def test_commit_that_takes_too_long_is_504(database: Slow, way: Callable[..., None]) -> None:
    commits = GroupCommit(database.commit, close=lambda: None)
    # 503 if the thread of the writer has not started within the time.
    for seconds in (0.1, 1.0, 30.0):
        with pytest.raises(APIError) as refused:
            way(commits, [1], timeout=seconds)
        if refused.value.status == 504:
            break
    database.may_answer.set()
    commits.stop()
    assert refused.value.status == 504
    assert database.written == [1]


@pytest.mark.parametrize("way", WAYS)
def test_too_many_waiting_reports_are_503(database: Slow, way: Callable[..., None]) -> None:
    commits = GroupCommit(database.commit, close=lambda: None, max_waiting=2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(way, commits, [1, 2])
        database.started.wait(DEADLINE_SECONDS)
        with pytest.raises(APIError) as refused:
            way(commits, [3])
        database.may_answer.set()
        first.result(30)
    assert refused.value.status == 503
    assert refused.value.detail == "Too many reports are waiting to be written."
    way(commits, [4, 5])
    commits.stop()
    assert database.written == [1, 2, 4, 5]


def test_reports_of_a_client_that_has_gone_are_written(database: Slow) -> None:
    commits = GroupCommit(database.commit, close=lambda: None)

    async def go() -> None:
        running = asyncio.create_task(ask(commits.submit([1])))
        await asyncio.to_thread(database.started.wait, 30)
        gone = asyncio.create_task(ask(commits.submit([2])))
        other = asyncio.create_task(ask(commits.submit([3])))
        await asyncio.sleep(0)
        gone.cancel()
        database.may_answer.set()
        await asyncio.gather(running, other)
        assert gone.cancelled()

    asyncio.run(go())
    commits.stop()
    assert database.written == [1, 2, 3]


def test_error_of_one_request_does_not_fail_others_of_its_batch(database: Slow) -> None:
    commits, database.rejected = GroupCommit(database.commit, close=lambda: None), 2

    async def go() -> list[Any]:
        first = asyncio.create_task(ask(commits.submit([1])))
        await asyncio.to_thread(database.started.wait, 30)
        others = [asyncio.create_task(ask(commits.submit([number]))) for number in (2, 3)]
        await asyncio.sleep(0)
        database.may_answer.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    none, error, other = asyncio.run(go())
    commits.stop()
    assert (none, other, database.written) == (None, None, [1, 3])
    assert isinstance(error, ValueError)
