"""A cluster's life: made, started, looked at, stopped. The caller holds the place's lock."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from kernel.loops import is_alive
from kernel.postgres.account import Account, PostgresError
from kernel.postgres.binaries import Binaries
from kernel.postgres.place import (
    DATABASE,
    ROLE,
    Cluster,
    Place,
    last_log_lines,
    make_sockets_directory,
    remove_sockets_directory,
    sockets_directory,
    trim_log,
    unfollowed,
)

START_SECONDS = 120
STOP_SECONDS = 60
ORPHANS_SECONDS = 30
ORPHANS_POLL_SECONDS = 0.5
POLL_SECONDS = 0.05
# PostgreSQL ends itself when there is no room for its next WAL segment, of 16 MiB.
MIN_FREE_BYTES = 16 * 1024 * 1024

# PostgreSQL's words when children of a dead server still use the data.
STILL_IN_USE = "is still in use"

# From here on the server sorts and compares text by code point itself, alike on every machine.
FIRST_MAJOR_WITH_BUILTIN_LOCALE = 17

# No TCP at all, and no statements in the log: they may hold secrets. All else is postgresql.conf's.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
# For data that is thrown away: a power failure may destroy the cluster.
FLEETING = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as its postmaster.pid describes it."""

    pid: int
    sockets: Path
    ready: bool


def running(cluster: Cluster) -> Server | None:
    """Returns the cluster's server, or None: a file left by a dead server does not count."""
    lines = _pid_lines(cluster)
    if not lines or not lines[0].isdecimal() or not _is_server(int(lines[0]), cluster):
        return None
    # Line 5 is the socket's directory, line 8 the state; a server that begins has not written them.
    complete = len(lines) >= 8
    return Server(
        pid=int(lines[0]),
        sockets=Path(lines[4]) if complete else Path(),
        ready=complete and lines[7].strip() == "ready",
    )


def create(place: Place, cluster: Cluster, *, binaries: Binaries, durable: bool, lock: int) -> None:
    """Fills an empty directory with a cluster that has our role, password and database.

    The place's lock stays taken while an initdb runs whose starter has been killed.
    Raises: PostgresError.
    """
    password = cluster.home / "password"
    with open(password, "x", encoding="ascii", opener=unfollowed) as stream:
        stream.write(secrets.token_urlsafe(24))
    place.account.own(password)
    initdb: list[str | Path] = [
        binaries.program("initdb"),
        f"--pgdata={cluster.data}",
        f"--username={ROLE}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--data-checksums",
        *_locale(binaries.major),
        *([] if durable else ["--no-sync"]),
    ]
    _checked(place, initdb, lock=lock)
    # In single-user mode the cluster is never seen without its database.
    single: list[str | Path] = [
        binaries.program("postgres"),
        "--single",
        f"-D{cluster.data}",
        "--exit_on_error=on",
        *([] if durable else ["--fsync=off"]),
        "postgres",
    ]
    _checked(place, single, lock=lock, text=f"CREATE DATABASE {DATABASE}\n")


def start(place: Place, cluster: Cluster, *, binaries: Binaries, durable: bool = True) -> Server:
    """Returns the cluster's server once it accepts connections; waits for a dying predecessor.

    Raises: PostgresError with the end of the server's log when it does not come up.
    """
    if server := _settled(cluster):
        return server
    folder = sockets_directory(cluster)
    make_sockets_directory(place, folder)
    trim_log(cluster.log)
    _disown_pid_file(cluster)
    settings = SETTINGS | {"unix_socket_directories": str(folder)} | ({} if durable else FLEETING)
    options = shlex.join(f"--{name}={value}" for name, value in settings.items())
    _start_patiently(place.account, binaries, cluster, options)
    if server := running(cluster):
        return server
    raise PostgresError(_with_log(f"PostgreSQL in {cluster.home} stopped at once.", cluster))


def stop(place: Place, cluster: Cluster, *, binaries: Binaries) -> bool:
    """Stops the server and rolls back open transactions. Returns whether there was one.

    Raises: PostgresError when it does not end.
    """
    server = running(cluster)
    if server:
        _pg_ctl(
            place.account, binaries, cluster, "stop", "--mode=fast", f"--timeout={STOP_SECONDS}"
        )
    known = server.sockets if server and server.ready else sockets_directory(cluster)
    remove_sockets_directory(place, known)
    return server is not None


def _locale(major: int) -> list[str]:
    if major >= FIRST_MAJOR_WITH_BUILTIN_LOCALE:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8", "--locale-provider=libc"] if major >= 15 else []


def _checked(place: Place, command: list[str | Path], *, lock: int, text: str = "") -> None:
    result = place.account.run(command, text=text, keep_open=lock)
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()
        raise PostgresError(
            f"A new PostgreSQL cluster cannot be made under {place.data_dir}. "
            f"{Path(command[0]).name} says:\n{said}"
        )


def _start_patiently(account: Account, binaries: Binaries, cluster: Cluster, options: str) -> None:
    deadline = time.monotonic() + ORPHANS_SECONDS
    while True:
        try:
            return _pg_ctl(
                account,
                binaries,
                cluster,
                "start",
                f"--log={cluster.log}",
                f"--options={options}",
                f"--timeout={START_SECONDS}",
            )
        except PostgresError as error:
            # Children of a killed server finish their statement before they notice.
            if STILL_IN_USE not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(ORPHANS_POLL_SECONDS)


def _pg_ctl(
    account: Account, binaries: Binaries, cluster: Cluster, action: str, *options: str
) -> None:
    program = binaries.program("pg_ctl")
    result = account.run(
        [program, action, f"--pgdata={cluster.data}", "--wait", "--silent", *options]
    )
    if result.returncode != 0:
        failure = f"PostgreSQL in {cluster.home} does not {action}: {result.stderr.strip()}"
        raise PostgresError(_with_log(failure, cluster))


def room_problem(cluster: Cluster) -> str:
    """Says that the cluster's disk is full, on which PostgreSQL ends itself; "" if it is not."""
    free = shutil.disk_usage(cluster.home).free
    if free >= MIN_FREE_BYTES:
        return ""
    return f"No space left on the disk of {cluster.home}: {free // 1024} KiB are free."


def _with_log(message: str, cluster: Cluster) -> str:
    """Adds the cause: a full disk, to which even the log cannot be written, or the log's end."""
    if no_room := room_problem(cluster):
        return f"PostgreSQL does not run. {no_room}"
    lines = last_log_lines(cluster.log)
    return f"{message}\nThe end of its log {cluster.log}:\n{lines}" if lines else message


def _settled(cluster: Cluster) -> Server | None:
    """Waits while the server starts or stops. Returns it, or None once there is none."""
    deadline = time.monotonic() + START_SECONDS
    while (server := running(cluster)) and not server.ready:
        if time.monotonic() > deadline:
            raise PostgresError(
                _with_log(f"PostgreSQL in {cluster.home} has not become ready.", cluster)
            )
        time.sleep(POLL_SECONDS)
    return server


def _pid_lines(cluster: Cluster) -> list[str]:
    try:
        return (cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _is_server(pid: int, cluster: Cluster) -> bool:
    """Tells whether the process is this cluster's server, and not a later one with its number."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists() and is_alive(pid)
    return os.fsencode(cluster.data) in command.split(b"\0")


def _disown_pid_file(cluster: Cluster) -> None:
    """Keeps PostgreSQL from taking a stranger with its dead server's number for that server.

    It starts if the number is that of the process which called pg_ctl: ours. The rest of the file
    stays, because it leads PostgreSQL to memory that the dead server's children may still use.
    """
    lines = _pid_lines(cluster)
    file = cluster.data / "postmaster.pid"
    if not lines:
        # An empty one, left by a crash between two steps, would be refused.
        return file.unlink(missing_ok=True)
    with open(file, "r+", encoding="utf-8", opener=unfollowed) as stream:
        stream.truncate()
        stream.writelines(f"{line}\n" for line in [str(os.getpid()), *lines[1:]])
    return None
