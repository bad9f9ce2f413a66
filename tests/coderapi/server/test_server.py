from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coderapi import postgres
from coderapi.database.migrating import LOCK
from coderapi.startup.addresses import AddressError, Claim
from kernel.db.connections import lock_number
from tests.support.commands import execute
from tests.support.databases.clusters import copy_cluster
from tests.support.databases.tables import query
from tests.support.processes import (
    DEADLINE_SECONDS,
    command_line,
    database_name,
    environment,
    free_port,
    in_database,
    own_database,
    running_with,
    wait_for,
)
from tests.support.servers.live import ANY_PORT, Server, send

type Start = Callable[..., Server]


@pytest.fixture
def database() -> Iterator[str]:
    with own_database() as url:
        yield url


@pytest.fixture
def start(database: str, tmp_path: Path) -> Iterator[Start]:
    """Starts servers, and kills their processes at the end."""
    with ExitStack() as running:

        def begin(*arguments: str, **more: str) -> Server:
            log = tmp_path / f"log-{len(list(tmp_path.iterdir()))}"
            server = Server(*arguments, log=log, **{"DATABASE_URL": database, **more})
            running.callback(server.kill_all)
            return server

        yield begin


def wait_for_the_end(server: Server, status: int = 0) -> None:
    assert server.process.wait(DEADLINE_SECONDS) == status
    wait_for(lambda: not server.all_processes())


claim = partial(Claim, option="--http-address")


@pytest.mark.parametrize(
    ("address", "host"),
    [("localhost:0", "127.0.0.1"), (":0", "127.0.0.1"), ("[::]:0", "[::1]")],
)
@pytest.mark.slow
def test_claimed_address_is_reserved_and_its_url_can_be_opened_here(
    address: str, host: str
) -> None:
    first = claim(address)
    assert first.url == f"http://{host}:{first.address.port}"
    taken = re.escape(f"Cannot listen on {first.address}: another program")
    with pytest.raises(AddressError, match=taken):
        claim(str(first.address))
    first.socket.close()
    claim(str(first.address)).socket.close()
    with pytest.raises(AddressError, match="does not belong to this machine"):
        claim("192.0.2.1:3000")


def test_running_request_is_finished_when_the_group_is_signaled(start: Start) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_SECONDS) as client:
        head = b"POST /api/v2/users/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n"
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        # The server sends this when it begins to read the body.
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{")
        os.killpg(server.pid, signal.SIGINT)
        # make forwards signals to its group, so a signal often arrives twice.
        server.process.send_signal(signal.SIGINT)
        server.wait_for_log("Stopping")
        wait_for(lambda: not listens(server.port))
        client.sendall(b"}")
        assert client.recv(4096).startswith(b"HTTP/1.1 4")
    wait_for_the_end(server)


def test_server_serves_on_during_the_delay_and_closes_kept_connections_with_the_last_answer(
    start: Start,
) -> None:
    server = start("--web-only", CODERAPI_SHUTDOWN_DELAY="3s")
    client = HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)

    def answer(path: str) -> tuple[int, str, bytes]:
        client.request("GET", path)
        found = client.getresponse()
        return found.status, found.headers.get("Connection", ""), found.read()

    assert answer("/readyz")[0] == 200
    server.process.send_signal(signal.SIGTERM)
    answers = iter(lambda: answer("/readyz"), None)
    status, connection, body = next(found for found in answers if found[0] == 503)
    stopping = {"status": "unready", "reason": "The server is stopping."}
    assert (status, connection, json.loads(body)) == (503, "", stopping)
    assert server.get() == 200
    wait_for(lambda: answer("/healthz") == (200, "close", b"OK"))
    wait_for(lambda: not listens(server.port))
    wait_for_the_end(server)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def test_killed_child_is_restarted_and_connections_wait_for_it(start: Start) -> None:
    server = start()
    for role in ("coderapi: web", "coderapi: jobs", "coderapi: web"):
        wait_for(server.answers)
        before = wait_for(lambda: server.processes(role))  # noqa: B023
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        # These were not accepted yet, or are accepted by the next worker.
        assert {server.get() for _ in range(5)} == {200}
        wait_for(lambda: server.processes(role) - before)  # noqa: B023
    server.process.terminate()
    wait_for_the_end(server)


def test_port_is_closed_while_a_worker_waits_longer_for_its_restart(start: Start) -> None:
    """Other servers of the port, or a proxy, then get the requests."""
    server = start("--web-only")

    def refuses() -> bool:
        # The delay doubles with each restart.
        for pid in server.web_workers():
            os.kill(pid, signal.SIGKILL)
        return not listens(server.port)

    wait_for(refuses)
    wait_for(server.answers)
    assert server.end() == 0


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Activated(Server):
    """A server that systemd starts with a listening socket."""

    def __init__(self, listening: socket.socket, **more: Any) -> None:
        self._listening = listening
        self.entry = [sys.executable, "-c", AS_SYSTEMD, str(listening.fileno()), *Server.entry]
        super().__init__("--web-only", **more)

    def _start(self, command: Sequence[str], **more: Any) -> None:
        self._listening.set_inheritable(True)
        super()._start(command, **more)


def test_restart_with_a_socket_of_systemd_loses_no_connection(
    database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        port = listening.getsockname()[1]

        def start(name: str, address: str = f"127.0.0.1:{port}") -> Server:
            settings = {"DATABASE_URL": database, "CODERAPI_DATA_DIR": str(tmp_path)}
            server = Activated(listening, log=tmp_path / name, address=address, **settings)
            stack.callback(server.kill_all)
            return server

        assert "but not on 127.0.0.1:1" in startup_error(start("wrong", "127.0.0.1:1"))
        first = start("first")
        assert first.port == port
        assert first.end() == 0
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        waiting = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS))
            for _ in range(20)
        ]
        for client in waiting:
            client.sendall(head)
        start("second")
        assert {client.recv(4096).split()[1] for client in waiting} == {b"200"}


def test_children_end_when_the_supervisor_is_killed(start: Start) -> None:
    # The port is none of those that the system gives to connections.
    address = f"127.0.0.1:{free_port()}"
    server = start(address=address)
    assert server.get() == 200
    server.process.kill()
    wait_for(lambda: not server.all_processes())
    assert start(address=address).get() == 200


def test_web_only_runs_no_jobs_and_explains_how_to_make_a_user(start: Start, database: str) -> None:
    query(database, "DELETE FROM django_migrations WHERE app = 'sessions'")
    query(database, "DROP TABLE django_session")
    server = start("--web-only", CODERAPI_WEB_WORKERS="2")
    # The processes create different request ids.
    ids = [server.ask("/healthz").headers["X-Coder-Request-Id"] for _ in range(40)]
    assert len(set(ids)) == len(ids)
    assert server.web_workers()
    assert not server.processes("coderapi: jobs")
    assert "No user exists yet" in server.log.read_text()
    # The missing migration is applied.
    assert server.get("/readyz") == 200
    assert query(database, "SELECT * FROM django_session") == []


def test_two_servers_migrate_one_after_the_other(start: Start) -> None:
    with own_database(like="template1") as empty:
        servers = [start(DATABASE_URL=empty) for _ in range(2)]
        assert [server.get("/readyz") for server in servers] == [200, 200]
        for server in servers:
            server.kill_all()


def startup_error(server: Server, lines: int = 1) -> str:
    """Returns what the server prints before it fails, which is one line by default."""
    wait_for_the_end(server, 1)
    text = server.log.read_text().strip()
    assert ("Traceback" in text, len(text.splitlines())) == (False, lines), text
    return text


def test_full_disk_is_not_called_a_mistake_of_the_configuration(open_directory: Path) -> None:
    # A limit of the size of files has the effect of a full disk.
    limited = ["bash", "-c", 'ulimit -f 1000; exec "$@"', "bash", *Server.entry]
    environ = os.environ | {"DATABASE_URL": "", "CODERAPI_DATA_DIR": str(open_directory / "data")}
    done = execute([*limited, "server", "--http-address", ANY_PORT], env=environ)
    assert done.returncode == 1
    assert done.stderr.startswith("coderapi: A new PostgreSQL cluster cannot be created")
    assert done.stderr.count("\n") > 1


def test_used_port_and_unusable_databases_are_errors(start: Start, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = startup_error(start(address=address))
    assert f"Cannot listen on {address}: another program listens there, or uses the port" in text
    missing = in_database(database, "there_is_none")
    assert "The database cannot be used" in startup_error(start(DATABASE_URL=missing))
    query(database, "CREATE TABLE api_keys (); CREATE TABLE workspace_agent_stats ()")
    assert "the tables of Coder's server" in startup_error(start())


def test_connections_of_jobs_come_before_those_of_requests(start: Start, database: str) -> None:
    # The role of the tests is a superuser, for which PostgreSQL does not enforce the limit.
    query(database, f"ALTER DATABASE {database_name(database)} CONNECTION LIMIT 18")
    names = {"CODER_PG_CONN_MAX_OPEN": "10", "CODER_PROMETHEUS_ENABLE": "true"}
    server = start(CODER_PROMETHEUS_ADDRESS=f"127.0.0.1:{(port := free_port())}", **names)
    assert server.get("/readyz") == 200
    text = server.log.read_text()
    assert "needs up to 20 connections to PostgreSQL, but can have only 18" in text
    assert "Requests now have only 2, " in text

    wait_for(lambda: b"coderapi_database_pool_max_connections 2.0" in send(port, "/").body)
    assert b"coderapi_database_free_connections" in send(port, "/").body


def test_flags_reach_all_children_and_secrets_stay_hidden(start: Start, database: str) -> None:
    url = f"{database}{'&' if '?' in database else '?'}application_name=planted-marker"
    server = start("--postgres-url", url, "-v", DATABASE_URL="")
    assert server.get("/readyz") == 200
    server.wait_for_log("Job prune_job_runs: ok")
    children = set(server.all_processes()) - {server.pid}
    # The jobs and a web worker.
    assert len(children) == 2
    for pid in children:
        assert "planted-marker" not in command_line(pid) + environment(pid)
    assert query(database, "SELECT FROM pg_stat_activity WHERE application_name = 'planted-marker'")
    server.process.terminate()
    wait_for_the_end(server)
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def start_private(start: Start, directory: Path) -> Server:
    return start(DATABASE_URL="", CODERAPI_SECRET_KEY="", CODERAPI_DATA_DIR=str(directory))


@pytest.fixture
def private(start: Start, open_directory: Path, migrated_cluster: Path) -> Server:
    """A server with a private database, which is there already."""
    copy_cluster(migrated_cluster, open_directory)
    return start_private(start, open_directory)


def test_private_database_starts_and_stops_with_the_server(
    start: Start, open_directory: Path
) -> None:
    private = start_private(start, open_directory)
    wait_for(lambda: private.get("/readyz") == 200)
    file = open_directory / "secret_key"
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text().strip()
    assert not any(key in environment(pid) for pid in private.all_processes())
    assert running_with(str(open_directory))
    private.process.terminate()
    wait_for_the_end(private)
    # PostgreSQL's last process ends a moment after it has removed its file.
    wait_for(lambda: not running_with(str(open_directory)))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_private_database_stops_although_the_signal_is_repeated(
    private: Server, open_directory: Path, signum: int
) -> None:
    wait_for(lambda: private.get("/readyz") == 200)

    def has_ended() -> bool:
        private.process.send_signal(signum)
        return private.process.poll() is not None

    wait_for(has_ended)
    wait_for(lambda: not running_with(str(open_directory)))
    assert "Traceback" not in private.log.read_text()


def test_private_database_is_restarted(private: Server, open_directory: Path) -> None:
    def hears_again() -> bool:
        text = private.log.read_text()
        return 0 < text.count("notifications are off") == text.count("notifications are on again")

    wait_for(lambda: private.get("/readyz") == 200)
    file = open_directory / "postgres" / "data" / "postmaster.pid"
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)
    private.wait_for_log("had ended and was restarted")
    wait_for(lambda: private.get("/readyz") == 200)
    # Until a process receives notifications again, it may not use its caches.
    wait_for(hears_again)
    postgres.stop(open_directory)
    # While the caches may be used, a proxy must keep the server.
    wait_for(lambda: "postgres stop" in private.ask("/readyz").json.get("reason", ""))
    answer = private.ask("/readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert private.end() == 0
    wait_for(lambda: not running_with(str(open_directory)))


def test_unusable_secret_key_and_data_directory_are_named(
    start: Start, open_directory: Path, tmp_path: Path
) -> None:
    (open_directory / "secret_key").write_bytes(b"\xff\xfe")
    text = startup_error(start_private(start, open_directory))
    assert f"{open_directory}/secret_key is empty or not UTF-8" in text
    (file := tmp_path / "file").touch()
    assert f"{file}/below" in startup_error(start_private(start, file / "below"))


def test_first_owner_is_not_created_if_the_file_cannot_be_written(
    start: Start, tmp_path: Path
) -> None:
    kept = tmp_path / "data" / "first-owner.txt"
    (kept / "in the way").mkdir(parents=True)
    named = {"CODERAPI_DATA_DIR": str(kept.parent), "CODERAPI_FIRST_OWNER_USERNAME": "owner"}
    assert f"Data directory: {kept} fails" in startup_error(start(**named))
    shutil.rmtree(kept)
    server = start("--web-only", **named)
    # The server answers after the first owner was created.
    credentials = {"email": "owner@example.com", "password": "wrong password"}
    assert server.ask("/api/v2/users/login", method="POST", body=credentials).status == 401
    assert "No user exists yet" not in server.log.read_text()
    assert "session token" in kept.read_text()


def test_server_obeys_sigterm_while_another_process_migrates(start: Start, database: str) -> None:
    query(database, "DELETE FROM django_migrations WHERE app = 'jobs'")
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [lock_number(LOCK)])
        server = start()
        server.wait_for_log("Another process migrates the database.")
        assert server.end() == 128 + signal.SIGTERM
