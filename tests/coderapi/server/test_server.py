from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from coderapi.addresses import AddressError, Claim, split
from coderapi.database.migrating import LOCK
from kernel import postgres
from kernel.db.connections import lock_number
from tests.support.commands import execute
from tests.support.databases.clusters import copy_cluster
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
from tests.support.servers.live import ANY_PORT, Answer, Server

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


# --- Parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:3000", ("127.0.0.1", 3000)),
        ("[::1]:80", ("::1", 80)),
        (":8080", ("", 8080)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_address_is_split_into_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert split(text) == parts


def test_claimed_address_is_reserved_before_the_server_listens() -> None:
    claim = Claim(ANY_PORT, option="--http-address")
    with pytest.raises(AddressError, match=f"Cannot listen on {claim.address}: another program"):
        Claim(str(claim.address), option="--http-address")
    claim.socket.close()
    Claim(str(claim.address), option="--http-address").socket.close()


def test_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(AddressError, match="does not belong to this machine"):
        Claim("192.0.2.1:3000", option="--http-address")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:{}"),
        ("0.0.0.0:0", "http://127.0.0.1:{}"),
        ("[::]:0", "http://[::1]:{}"),
    ],
)
def test_url_of_a_listener_can_be_opened_on_this_machine(address: str, url: str) -> None:
    claim = Claim(address, option="--http-address")
    assert claim.url == url.format(claim.address.port)
    claim.socket.close()


# --- Lifecycle --------------------------------------------------------------------------------


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
    assert server.process.wait(DEADLINE_SECONDS) == 0
    wait_for(lambda: not server.all_processes())


def test_kept_connection_is_closed_with_its_last_answer(start: Start) -> None:
    server = start("--web-only")
    client = HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    client.connect()

    def last_answer() -> bool:
        client.request("GET", "/healthz")
        answer = client.getresponse()
        assert answer.read() == b"OK"
        return answer.headers["Connection"] == "close"

    assert not last_answer()
    server.process.send_signal(signal.SIGTERM)
    wait_for(last_answer)
    assert server.process.wait(DEADLINE_SECONDS) == 0


def test_server_is_not_ready_and_serves_on_during_the_delay(start: Start) -> None:
    server = start("--web-only", CODERAPI_SHUTDOWN_DELAY="3s")
    assert server.get("/readyz") == 200
    server.process.send_signal(signal.SIGTERM)
    answer = wait_for(lambda: _unready(server))
    assert answer
    assert answer.json == {"status": "unready", "reason": "The server is stopping."}
    assert "close" not in answer.headers.get("Connection", "")
    assert server.get() == 200
    wait_for(lambda: not listens(server.port))
    assert server.process.wait(DEADLINE_SECONDS) == 0


def _unready(server: Server) -> Answer | None:
    answer = server.ask("/readyz")
    return answer if answer.status == 503 else None


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def test_killed_child_is_restarted(start: Start) -> None:
    server = start()
    for role in ("coderapi: web", "coderapi: jobs"):
        wait_for(server.answers)
        replace_by_force(server, role)
    wait_for(server.answers)
    assert server.end() == 0
    wait_for(lambda: not server.all_processes())


def test_connections_wait_while_a_killed_worker_is_replaced(start: Start) -> None:
    server = start("--web-only")
    for _ in range(3):
        for pid in wait_for(server.web_workers):
            os.kill(pid, signal.SIGKILL)
        # These were not accepted yet, or are accepted by the next worker.
        assert {server.get() for _ in range(5)} == {200}


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
        number = str(listening.fileno())
        self.entry = [sys.executable, "-c", AS_SYSTEMD, number, *Server.entry]
        super().__init__("--web-only", **more)

    def _start(self, command: Sequence[str], **more: Any) -> None:
        self._listening.set_inheritable(True)
        super()._start(command, **more)


def test_restart_with_a_socket_of_systemd_loses_no_connection(
    database: str, tmp_path: Path
) -> None:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        port = listening.getsockname()[1]

        def start(name: str) -> Server:
            settings = {"DATABASE_URL": database, "CODERAPI_DATA_DIR": str(tmp_path)}
            address = f"127.0.0.1:{port}"
            server = Activated(listening, log=tmp_path / name, address=address, **settings)
            stack.callback(server.kill_all)
            return server

        first = start("first")
        assert first.port == port
        assert first.end() == 0
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        waiting = [
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
            for _ in range(20)
        ]
        for client in waiting:
            stack.enter_context(client)
            client.sendall(head)
        start("second")
        assert {client.recv(4096).split()[1] for client in waiting} == {b"200"}


def test_socket_of_systemd_for_another_address_is_an_error(database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Activated(
            listening, log=tmp_path / "log", address="127.0.0.1:1", DATABASE_URL=database
        )
        assert "but not on 127.0.0.1:1" in startup_error(server)


def replace_by_force(server: Server, role: str) -> None:
    before = wait_for(lambda: server.processes(role))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.processes(role) - before)


def test_children_end_when_the_supervisor_is_killed(start: Start) -> None:
    server = start()
    assert server.get() == 200
    server.process.kill()
    wait_for(lambda: not server.all_processes())
    assert start(address=f"127.0.0.1:{server.port}").get() == 200


def test_web_only_runs_no_jobs_and_explains_how_to_make_a_user(start: Start) -> None:
    server = start("--web-only", CODERAPI_WEB_WORKERS="2")
    # The processes create different request ids.
    ids = [server.ask("/healthz").headers["X-Coder-Request-Id"] for _ in range(40)]
    assert len(set(ids)) == len(ids)
    assert server.web_workers()
    assert not server.processes("coderapi: jobs")
    assert "No user exists yet" in server.log.read_text()


def test_two_servers_migrate_one_after_the_other(start: Start) -> None:
    with own_database(like="template1") as empty:
        servers = [start(DATABASE_URL=empty) for _ in range(2)]
        assert [server.get("/readyz") for server in servers] == [200, 200]
        for server in servers:
            server.kill_all()


def test_missing_migration_is_applied(start: Start, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
        connection.execute("DROP TABLE django_session")
        assert start("--web-only").get("/readyz") == 200
        connection.execute("SELECT * FROM django_session")


def test_password_is_checked_after_the_first_owner_was_created(start: Start) -> None:
    server = start("--web-only", CODERAPI_FIRST_OWNER_USERNAME="owner")
    credentials = {"email": "owner@example.com", "password": "wrong password"}
    assert server.ask("/api/v2/users/login", method="POST", body=credentials).status == 401
    assert "No user exists yet" not in server.log.read_text()


# --- Errors -----------------------------------------------------------------------------------


def startup_error(server: Server) -> str:
    """Returns the one line that the server prints before it fails."""
    assert server.process.wait(DEADLINE_SECONDS) == 1
    wait_for(lambda: not server.all_processes())
    text = server.log.read_text()
    assert "Traceback" not in text
    return text.strip()


def test_full_disk_is_not_called_a_mistake_of_the_configuration(open_directory: Path) -> None:
    # A limit of the size of files has the effect of a full disk.
    limited = ["bash", "-c", 'ulimit -f 1000; exec "$@"', "bash", *Server.entry]
    environ = os.environ | {"DATABASE_URL": "", "CODERAPI_DATA_DIR": str(open_directory / "data")}
    done = execute([*limited, "server", "--http-address", ANY_PORT], env=environ)
    assert done.returncode == 1
    assert done.stderr.startswith("coderapi: A new PostgreSQL cluster cannot be created")
    assert done.stderr.count("\n") > 1


def test_used_port_is_an_error(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = startup_error(start(address=address))
    assert f"Cannot listen on {address}: another program listens there" in text
    assert len(text.splitlines()) == 1


def test_coders_own_database_is_an_error(start: Start, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE api_keys (); CREATE TABLE workspace_agent_stats ()")
    assert "the tables of Coder's server" in startup_error(start())


def test_unusable_database_is_an_error(start: Start, database: str) -> None:
    text = startup_error(start(DATABASE_URL=in_database(database, "there_is_none")))
    assert "The database cannot be used" in text


def test_connections_of_jobs_come_before_those_of_requests(start: Start, database: str) -> None:
    name = database_name(database)
    # The role of the tests is a superuser, for which PostgreSQL does not enforce the limit.
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 18")
    names = {"CODER_PG_CONN_MAX_OPEN": "10", "CODER_PROMETHEUS_ENABLE": "true"}
    server = start(CODER_PROMETHEUS_ADDRESS=f"127.0.0.1:{(port := free_port())}", **names)
    assert server.get("/readyz") == 200
    text = server.log.read_text()
    assert "needs up to 20 connections to PostgreSQL, but can have only 18" in text
    assert "Requests now have only 2, " in text

    def scraped() -> str:
        return str(urlopen(f"http://127.0.0.1:{port}/").read().decode())

    wait_for(lambda: "coderapi_database_pool_max_connections 2.0" in scraped())
    assert "coderapi_database_free_connections" in scraped()


# --- Flags ------------------------------------------------------------------------------------


def test_flags_reach_all_children_and_secrets_stay_hidden(start: Start, database: str) -> None:
    url = f"{database}{'&' if '?' in database else '?'}application_name=planted-marker"
    server = start("--postgres-url", url, "-v", DATABASE_URL="")
    assert server.get("/readyz") == 200
    server.wait_for_log("Job prune_job_runs: ok")
    children = set(server.all_processes()) - {server.pid}
    # The jobs and a web worker.
    assert len(children) == 2
    for pid in children:
        assert "planted-marker" not in command_line(pid)
        assert "planted-marker" not in environment(pid)
    with psycopg.connect(database) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'planted-marker'"
        row = connection.execute(query).fetchone()
        assert row
        assert row[0] > 0
    assert server.end() == 0
    wait_for(lambda: not server.all_processes())
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


# --- The private database ---------------------------------------------------------------------


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
    assert private.end() == 0
    # PostgreSQL's last process ends a moment after it has removed its file.
    wait_for(lambda: not private.all_processes() and not running_with(str(open_directory)))


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


def hears_again(server: Server) -> bool:
    text = server.log.read_text()
    return 0 < text.count("notifications are off") == text.count("notifications are on again")


def test_private_database_is_restarted(private: Server, open_directory: Path) -> None:
    wait_for(lambda: private.get("/readyz") == 200)
    file = open_directory / "postgres" / "data" / "postmaster.pid"
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)
    private.wait_for_log("had ended and was restarted")
    wait_for(lambda: private.get("/readyz") == 200)
    # Until a process receives notifications again, it may not use its caches.
    wait_for(lambda: hears_again(private))
    postgres.stop(open_directory)
    # While the caches may be used, a proxy must keep the server.
    wait_for(lambda: "postgres stop" in private.ask("/readyz").json.get("reason", ""))
    answer = private.ask("/readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert private.end() == 0
    wait_for(lambda: not running_with(str(open_directory)))


def test_invalid_secret_key_file_is_named(start: Start, open_directory: Path) -> None:
    (open_directory / "secret_key").write_bytes(b"\xff\xfe")
    text = startup_error(start_private(start, open_directory))
    assert f"{open_directory}/secret_key is empty or not UTF-8" in text
    assert len(text.splitlines()) == 1


def test_uncreatable_data_directory_is_named(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    text = startup_error(start(DATABASE_URL="", CODERAPI_DATA_DIR=str(file / "below")))
    assert f"{file}/below" in text
    assert len(text.splitlines()) == 1


def test_first_owner_is_not_created_if_the_file_cannot_be_written(
    start: Start, tmp_path: Path
) -> None:
    kept = tmp_path / "data" / "first-owner.txt"
    (kept / "in the way").mkdir(parents=True)
    named = {"CODERAPI_DATA_DIR": str(kept.parent), "CODERAPI_FIRST_OWNER_USERNAME": "owner"}
    text = startup_error(start(**named))
    assert f"Data directory: {kept} fails" in text
    assert len(text.splitlines()) == 1
    (kept / "in the way").rmdir()
    kept.rmdir()
    server = start("--web-only", **named)
    assert server.port
    assert "session token" in kept.read_text()


def test_server_obeys_sigterm_while_another_process_migrates(start: Start, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("DELETE FROM django_migrations WHERE app = 'jobs'")
        other.execute("SELECT pg_advisory_lock(%s)", [lock_number(LOCK)])
        server = start()
        server.wait_for_log("Another process migrates the database.")
        assert server.end() == 128 + signal.SIGTERM
