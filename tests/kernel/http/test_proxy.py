"""The proxy of the composition, in front of a running service."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.documents import listing
from tests.support.processes import wait_for
from tests.support.servers.containers import Rehearsal, built_image, composition, rehearsed
from tests.support.servers.proxies import Proxy, make_certificate, needs_nginx

pytestmark = needs_nginx

HOST = "coder.example.com"


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    image = built_image(tmp_path_factory.mktemp("image"))
    with rehearsed(image, CODER_ACCESS_URL=f"https://{HOST}") as rehearsal:
        yield rehearsal


@pytest.fixture
def proxy(rehearsal: Rehearsal, tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path, rehearsal.web.port)
    make_certificate(proxy.tls)
    configuration = listing("nginx", "# docker/tls/tls.conf")
    (proxy.tls / "tls.conf").write_text(proxy.translated(configuration))
    assert not proxy.errors()
    with proxy.running():
        yield proxy


def answer_of(connection: HTTPConnection, path: str, **headers: str) -> HTTPResponse:
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    answer.read()
    return answer


def test_proxy_forwards_the_address_of_the_client_and_not_a_claimed_one(proxy: Proxy) -> None:
    def ask(claimed: str, source: str) -> tuple[int, int]:
        connection = HTTPConnection("127.0.0.1", proxy.http_port, source_address=(source, 0))
        with closing(connection):
            headers = answer_of(connection, "/api/v2/buildinfo", X_Forwarded_For=claimed).headers
        return int(headers["X-Ratelimit-Remaining"]), int(headers["X-Ratelimit-Reset"])

    def answers(attempt: int) -> list[int] | None:
        hosts = (("203.0.113.1", 2), ("203.0.113.2", 2), ("203.0.113.2", 3))
        pairs = [ask(claimed, f"127.0.{attempt}.{host}") for claimed, host in hosts]
        # Try other addresses if the minute of the count ended in between.
        return [count for count, _ in pairs] if len({reset for _, reset in pairs}) == 1 else None

    first, second, other = next(filter(None, map(answers, range(9))))
    assert (second, other) == (first - 1, first)


def test_proxy_logs_no_query_and_leaves_the_refusal_of_large_bodies_to_the_service(
    proxy: Proxy,
) -> None:
    with closing(HTTPConnection("127.0.0.1", proxy.http_port)) as connection:
        # Queries may hold tokens.
        answer_of(connection, "/api/v2/buildinfo?coder_session_token=marker")
        logged = wait_for(proxy.access_log.read_text)
        connection.request("POST", "/api/v2/users/login", body=b"0" * (8 * 1024**2 + 1))
        answer = connection.getresponse()
        answer.read()
    assert ('"GET /api/v2/buildinfo" 200' in logged, "marker" in logged) == (True, False)
    assert answer.status == 413
    assert answer.headers["Content-Type"].startswith("application/json")


def test_owner_signs_in_to_the_admin_through_tls(proxy: Proxy, rehearsal: Rehearsal) -> None:
    shown = (rehearsal.image.data / "first-owner.txt").read_text().split()
    password = shown[shown.index("password") + 1]
    trusting = ssl.create_default_context(cafile=str(proxy.tls / "ca.pem"))
    with closing(HTTPSConnection("localhost", proxy.https_port, context=trusting)) as connection:
        cookie = answer_of(connection, "/login", Host=HOST).headers["Set-Cookie"].partition(";")[0]
        token = cookie.partition("=")[2]
        fields = {"csrfmiddlewaretoken": token, "name": "owner", "password": password}
        headers = {
            "Host": HOST,
            "Origin": f"https://{HOST}",
            "Cookie": cookie,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/login", body=urlencode(fields), headers=headers)
        answer = connection.getresponse()
        assert answer.status == 302, answer.read()


def test_health_check_of_the_proxy_passes(proxy: Proxy) -> None:
    if not shutil.which("wget"):
        pytest.skip("wget is not installed")
    argv = composition()["services"]["proxy"]["healthcheck"]["test"][1:]
    done = subprocess.run(
        [argument.replace("8080", str(proxy.http_port)) for argument in argv], check=False
    )
    assert done.returncode == 0
