"""Rate limits: which routes have their own, and how processes and hosts share the counts."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import redis

from kernel.http.errors import APIError
from kernel.http.steps import counters
from kernel.http.steps.counters import (
    FAILURES,
    PROBES,
    SLOTS,
    Counter,
    RedisCounter,
    SharedCounter,
)
from kernel.http.steps.rate_limit import check
from options.start import api_rate_limit
from tests.support.api.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.processes import wait_for
from tests.support.servers.live import own_server

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
@pytest.mark.usefixtures("same_minute")
def test_limit_is_counted_down_in_the_headers(settings: Any, anonymous: APIClient) -> None:
    settings.API_RATE_LIMIT = 1
    for status, wait in ((200, range(1)), (429, range(1, 61))):
        answer = anonymous.get(ROOT)
        shown = (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"])
        assert (answer.status_code, shown) == (status, ("1", "0"))
        assert int(answer.headers.get("Retry-After", 0)) in wait
        assert int(answer.headers["X-RateLimit-Reset"]) % 60 == 0


@pytest.mark.usefixtures("one_a_minute")
def test_each_user_has_one_limit_for_all_keys(member: APIClient, owner: APIClient) -> None:
    assert statuses(member) == [200, 429]
    assert statuses(APIClient(token=make_key(member.user).token)) == [429, 429]
    assert owner.get(PATH).status_code == 200


@pytest.mark.usefixtures("one_a_minute")
def test_reports_have_their_own_limit(settings: Any, member: APIClient) -> None:
    settings.CSP_RATE_LIMIT = 2
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
@pytest.mark.usefixtures("one_a_minute")
def test_ipv6_network_has_four_times_the_limit_of_an_address(anonymous: APIClient) -> None:
    addresses = ["192.0.2.1"] * 2 + [f"2001:db8:1:{subnet}::1" for subnet in range(5)]
    assert [anonymous.get(ROOT, REMOTE_ADDR=each).status_code for each in addresses] == [
        *(200, 429),
        *(200, 200, 200, 200, 429),
    ]


@pytest.mark.django_db
@pytest.mark.usefixtures("one_a_minute")
def test_health_has_no_limit_and_no_limit_sends_no_headers(
    settings: Any, anonymous: APIClient
) -> None:
    assert statuses(anonymous, "/healthz") == [200, 200]
    settings.API_RATE_LIMIT = None
    assert "X-RateLimit-Limit" not in anonymous.get(ROOT).headers


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


def local(path: Path) -> SharedCounter:
    return SharedCounter(path, key=b"secret")


def remaining(counter: Counter, *, limit: int, now: float = NOON) -> int:
    """Counts a request. Returns how many may follow in the minute, or -1 if it is rejected."""
    try:
        return int(check(counter, "a", limit=limit, now=now)["X-RateLimit-Remaining"])
    except APIError as error:
        return -1 if error.headers["X-RateLimit-Remaining"] == "0" else -error.status


@pytest.mark.parametrize("jump", [60, 3600, -3600])
def test_count_starts_again_in_any_other_minute(tmp_path: Path, jump: int) -> None:
    counter = local(tmp_path / "counts")
    assert [remaining(counter, limit=2) for _ in range(3)] == [1, 0, -1]
    assert remaining(counter, limit=2, now=NOON + jump) == 1


def test_reading_does_not_count(tmp_path: Path) -> None:
    counter = local(tmp_path / "counts")
    counter.add("a", 1)
    assert [counter.add("a", 1, 0) for _ in range(3)] == [1, 1, 1]


COUNT = """
import pathlib, sys, threading
from kernel.http.steps.counters import SharedCounter
counter = SharedCounter(pathlib.Path(sys.argv[1]), key=b"secret")
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
    assert local(path).add("a", 1, 0) == 1500


def test_more_processes_than_sections_still_count(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    counters = [SharedCounter(path, key=b"secret", sections=2) for _ in range(4)]
    assert [counter.add("a", 1) for counter in counters] == [1, 2, 3, 4]


def test_flood_of_addresses_needs_no_more_room_and_resets_only_low_counts(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    counter = local(path)
    size = path.stat().st_size
    counter.add("high", 1, 2)
    # Twice as many as there are slots.
    assert max(counter.add(f"address {n}", 1) for n in range(2 * SLOTS)) == 1
    assert counter.add("high", 1, 0) == 2
    assert path.stat().st_size == size


def test_new_count_replaces_the_lowest_of_those_that_share_its_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "SLOTS", PROBES + 1)
    counter = local(tmp_path / "counts")
    amounts = {f"{n}": 5 - (n == PROBES // 2) for n in range(PROBES)}
    for name, amount in amounts.items():
        counter.add(name, 1, amount)
    assert counter.add("new", 1) == 1
    left = {name: counter.add(name, 1, 0) for name in amounts}
    assert left == {name: amount if amount == 5 else 0 for name, amount in amounts.items()}


def test_chosen_networks_do_not_reset_a_count(tmp_path: Path) -> None:
    counter = local(tmp_path / "counts")

    def place(name: str) -> int:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % (SLOTS - PROBES)

    # Without the key, the counts of these networks of a /16 would have the place of the target.
    target = "ip:192.0.2.1"
    networks = (f"ip:2001:{n >> 16:x}:{n & 0xFFFF:x}::/48" for n in count())
    chosen = (name for name in networks if place(name) == place(target))
    for name in islice(chosen, PROBES + 2):
        counter.add(target, 1)
        assert counter.add(name, 1) == 1
    assert counter.add(target, 1, 0) == PROBES + 2


REDIS = shutil.which("redis-server")
type RedisServer = tuple[str, subprocess.Popen[bytes]]


@pytest.fixture
def redis_server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Starts a Redis server, and yields its URL and its process."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    FAILURES.end()
    # The path of a socket has at most 107 characters, and `tmp_path` has the name of the test.
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        socket = f"{directory}/redis.sock"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", directory]
        process = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL)
        # Redis makes the socket a moment before it listens.
        wait_for(lambda: pings(f"unix://{socket}"))
        yield f"unix://{socket}", process
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


type NewHost = Callable[..., RedisCounter]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NewHost]:
    """Makes the counter of a host, which has its own file. At the end, no counter asks Redis."""
    made: list[RedisCounter] = []

    def make(url: str, name: str, **more: int) -> RedisCounter:
        counter = RedisCounter(url, local(tmp_path / name), retry_seconds=0.05, **more)
        made.append(counter)
        return counter

    yield make
    for counter in made:
        with counter._lock:
            counter._counts.clear()
            counter._used.clear()


def pings(url: str) -> bool:
    with suppress(redis.RedisError), closing(redis.Redis.from_url(url)) as client:
        return bool(client.ping())
    return False


def test_hosts_exchange_their_counts(redis_server: RedisServer, host: NewHost) -> None:
    url, _ = redis_server
    one, other = (host(url, name) for name in ("one", "other"))
    assert [counter.add("a", 1) for counter in (one, one, other)] == [1, 2, 1]
    for counter in (one, other):
        wait_for(lambda counter=counter: counter.add("a", 1, 0) == 3)  # type: ignore[misc]
    assert remaining(one, limit=3, now=60) == -1
    # Each minute has its own count.
    assert one.add("a", 2) == 1


def test_processes_of_a_host_know_the_requests_to_each_other_at_once(
    redis_server: RedisServer, host: NewHost
) -> None:
    url, _ = redis_server
    one, other = (host(url, "shared") for _ in range(2))
    assert [counter.add("a", 1) for counter in (one, other, one, other)] == [1, 2, 3, 4]
    wait_for(lambda: all(not counter._is_running for counter in (one, other)))
    # The counts were added to the server once.
    assert one.add("a", 1, 0) == 4


def test_limits_apply_to_each_host_while_redis_hangs(
    redis_server: RedisServer, host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    url, process = redis_server
    one, other = (host(url, name) for name in ("one", "other"))
    one.add("a", 1)
    wait_for(lambda: other.add("a", 1, 0) == 1)
    process.send_signal(signal.SIGSTOP)
    assert [remaining(one, limit=2, now=60) for _ in range(3)] == [0, -1, -1]
    wait_for(lambda: "Each host counts for itself" in caplog.text)
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: other.add("a", 1, 0) == 4)
    wait_for(lambda: not FAILURES.count)


def test_unreachable_redis_leaves_the_limits_of_each_host(host: NewHost) -> None:
    counter = host("redis://127.0.0.1:1/0", "counts")
    assert [remaining(counter, limit=1) for _ in range(3)] == [0, -1, -1]


def test_flood_of_addresses_leaves_high_counts_to_exchange(
    redis_server: RedisServer, host: NewHost
) -> None:
    url, _ = redis_server
    one, other = (host(url, name, max_counts=16) for name in ("one", "other"))
    one.add("high", 1, 50)
    for number in range(500):
        one.add(f"address {number}", 1)
    assert len(one._counts) == 16
    wait_for(lambda: other.add("high", 1, 0) == 50)
    assert one.add("high", 1) == 51
    wait_for(lambda: other.add("high", 1, 0) == 51)


def test_server_shows_that_redis_does_not_respond(
    redis_server: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    url, process = redis_server
    flags = {"CODERAPI_REDIS_URL": url, "CODERAPI_WEB_WORKERS": "1", "CODER_API_RATE_LIMIT": "1000"}
    with own_server("--web-only", log=tmp_path / "log", **flags) as server:

        def shown() -> Any:
            assert server.ask(ROOT).status == 200
            answer = server.ask("/readyz")
            assert answer.status == 200
            return answer.json["redis"]

        assert shown() == "ok"
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: shown() == "unreachable")
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: shown() == "ok")
