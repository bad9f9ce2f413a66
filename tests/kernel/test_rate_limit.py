"""Rate limits: which routes have their own, and how processes and hosts share the counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from kernel.http.rate_limit import RedisCounter, SharedCounter, check
from options.start import api_rate_limit
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.processes import DEADLINE_SECONDS, wait_for

REPORTS = "/api/v2/csp/reports"
ROOT = "/api/v2/"
# Public routes ignore tokens, so they count by address.
PATH = "/api/v2/experiments"
NOON = 1_764_072_000.0


@pytest.fixture
def one_a_minute(settings: Any, same_minute: None) -> None:
    settings.API_RATE_LIMIT = 1


def statuses(client: APIClient, path: str = PATH, **headers: str) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(2)]


@pytest.mark.django_db
def test_limit_is_counted_down_in_the_headers(settings: Any, anonymous: APIClient) -> None:
    settings.API_RATE_LIMIT = 5
    answer = anonymous.get(ROOT)
    assert answer.headers["X-RateLimit-Limit"] == "5"
    assert answer.headers["X-RateLimit-Remaining"] == "4"
    assert int(answer.headers["X-RateLimit-Reset"]) % 60 == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("one_a_minute")
def test_request_over_the_limit_is_429_with_the_time_to_wait(anonymous: APIClient) -> None:
    answer = [anonymous.get(ROOT) for _ in range(2)][-1]
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-RateLimit-Remaining"] == "0"


@pytest.mark.usefixtures("one_a_minute")
def test_each_user_has_one_limit_for_all_keys(member: APIClient, owner: APIClient) -> None:
    assert statuses(member) == [200, 429]
    assert statuses(APIClient(token=make_key(member.user).token)) == [429, 429]
    assert owner.get(PATH).status_code == 200


@pytest.mark.usefixtures("one_a_minute")
def test_reports_have_their_own_limit(settings: Any, member: APIClient) -> None:
    settings.RATE_LIMITS_APART = {REPORTS: 2}
    assert statuses(member) == [200, 429]
    answers = [member.post(REPORTS, "null", content_type="application/json") for _ in range(3)]
    assert answers[0].headers["X-RateLimit-Limit"] == "2"
    assert [answer.status_code for answer in answers] == [400, 400, 429]


@pytest.mark.usefixtures("one_a_minute")
def test_other_requests_of_an_address_do_not_use_up_its_sign_ins(
    anonymous: APIClient, db: None
) -> None:
    assert statuses(anonymous, ROOT) == [200, 429]
    body = {"email": "a@example.com", "password": "wrong-password"}
    answer = anonymous.post("/api/v2/users/login", body, content_type="application/json")
    assert answer.status_code == 401


@pytest.mark.usefixtures("one_a_minute")
def test_only_an_owner_may_bypass_the_limit(owner: APIClient, auditor: APIClient) -> None:
    bypass = {"X-Coder-Bypass-Ratelimit": "true"}
    assert statuses(owner, **bypass) == [200, 200]
    assert statuses(auditor, **bypass) == [200, 429]


@pytest.mark.django_db
def test_no_limit_sends_no_headers(settings: Any, anonymous: APIClient) -> None:
    settings.API_RATE_LIMIT = None
    assert "X-RateLimit-Limit" not in anonymous.get(ROOT).headers


@pytest.mark.usefixtures("one_a_minute")
def test_health_has_no_limit(anonymous: APIClient) -> None:
    assert statuses(anonymous, "/healthz") == [200, 200]


@pytest.mark.django_db
@pytest.mark.usefixtures("one_a_minute")
def test_requests_of_a_suspended_user_count_for_the_address() -> None:
    client = APIClient(token=make_key(make_user(status="suspended")).token)
    assert statuses(client, ROOT) == [200, 429]
    assert statuses(APIClient(), ROOT) == [429, 429]


@pytest.mark.parametrize(
    ("configured", "disabled", "limit"),
    [(512, False, 512), (0, False, 512), (-1, False, None), (10, False, 10), (10, True, None)],
)
def test_option_zero_means_512_and_negative_means_no_limit(
    configured: int, disabled: bool, limit: int | None
) -> None:
    assert api_rate_limit(configured, disabled=disabled) == limit


# --- Counters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [60, 3600, -3600])
def test_count_starts_again_in_any_other_minute(tmp_path: Path, jump: int) -> None:
    counter = SharedCounter(tmp_path / "counts")
    first = [check(counter, "a", limit=2, now=NOON) for _ in range(3)]
    later = check(counter, "a", limit=2, now=NOON + jump)
    assert [v.refused for v in first] == [False, False, True]
    assert (later.refused, later.count) == (False, 1)


def test_reading_does_not_count(tmp_path: Path) -> None:
    counter = SharedCounter(tmp_path / "counts")
    counter.add("a", 1)
    assert [counter.add("a", 1, 0) for _ in range(3)] == [1, 1, 1]


COUNT = """
import pathlib, sys, threading
from kernel.http.rate_limit import SharedCounter
counter = SharedCounter(pathlib.Path(sys.argv[1]))
def count():
    for _ in range(125):
        counter.add("a", 1)
threads = [threading.Thread(target=count) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_count_is_exact_over_processes_and_threads(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert SharedCounter(path).add("a", 1, 0) == 1500


def test_flood_of_addresses_needs_no_more_room_and_refuses_none(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    counter = SharedCounter(path)
    size = path.stat().st_size
    assert max(counter.add(f"address {n}", 1) for n in range(20_000)) == 1
    assert path.stat().st_size == size


REDIS = shutil.which("redis-server")


@pytest.fixture
def cache_url(tmp_path: Path) -> Iterator[str]:
    """Starts a Redis server and yields its URL."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    socket = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL)
    # Redis makes the socket a moment before it listens.
    wait_for(lambda: pings(f"unix://{socket}"))
    yield f"unix://{socket}"
    process.terminate()
    process.wait()


def pings(url: str) -> bool:
    with suppress(redis.RedisError), closing(redis.Redis.from_url(url)) as client:
        return bool(client.ping())
    return False


def test_cache_server_shares_counts_between_hosts(cache_url: str) -> None:
    one, other = (RedisCounter(cache_url, seconds=DEADLINE_SECONDS) for _ in range(2))
    verdicts = [check(counter, "a", limit=2, now=NOON) for counter in (one, other, one)]
    assert [v.refused for v in verdicts] == [False, False, True]


def test_unreachable_cache_server_lets_requests_pass(caplog: pytest.LogCaptureFixture) -> None:
    counter = RedisCounter("redis://127.0.0.1:1/0")
    verdicts = [check(counter, "a", limit=1, now=NOON) for _ in range(3)]
    assert not any(v.refused for v in verdicts)
    assert caplog.text.count("Rate limits are off") == 1
