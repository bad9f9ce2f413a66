"""Creates, finds, starts and stops a cluster's server. The caller must hold the cluster's lock."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coderapi.postgres.account import PostgresError
from coderapi.postgres.binaries import Binaries
from coderapi.postgres.files import (
    DATABASE,
    ROLE,
    SOCKET,
    Cluster,
    last_log_lines,
    trim_log,
    unfollowed,
)
from kernel.loops import is_alive

SUPERUSER = "postgres"
# The timeout for each step: to start, to stop, or to wait for a killed server's children.
TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.05
# PostgreSQL shuts down if the disk is too full for its next WAL segment of 16 MiB.
MIN_FREE_BYTES = 16 * 1024 * 1024

# A part of PostgreSQL's error message if child processes of a killed server still use the data.
STILL_IN_USE = "is still in use"

# Since version 17, PostgreSQL has a built-in locale. It sorts text by code point, which gives the
# same order on every machine.
BUILTIN_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
LIBC_LOCALE = ("--locale=C.UTF-8", "--locale-provider=libc")

# These settings disable TCP. They also keep statements out of the log, because statements may
# contain secrets.
SETTINGS = {
    "listen_addresses": "",
    # The directory of the cluster, which only its account can enter. The path is relative to the
    # data, so it may contain any character.
    "unix_socket_directories": "..",
    # Restoring a dump takes about seven locks for each partition, in one transaction. The default
    # of 64 is too low for a thousand partitions.
    "max_locks_per_transaction": "256",
    "unix_socket_permissions": "0700",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
# Faster settings for temporary clusters. A power failure may destroy the data.
FLEETING = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_locks_per_transaction": "1024",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as its postmaster.pid describes it."""

    pid: int
    ready: bool


def running(cluster: Cluster) -> Server | None:
    """Returns the cluster's server, or None if it is not running."""
    # A server that has just started may not have written all lines yet.
    pid, *_, state = [*_pid_lines(cluster), *[""] * 8][:8]
    if not pid.isdecimal() or not _is_server(int(pid), cluster):
        return None
    return Server(int(pid), ready=state.strip() == "ready")


def create(cluster: Cluster, *, binaries: Binaries, lock: int) -> None:
    """Creates a cluster in an empty directory, with the service's role, password and database.

    The role owns the database, but is not a superuser. The superuser has no password, so it cannot
    connect.

    initdb inherits `lock`, the file descriptor of the cluster's lock. So the lock is held until
    initdb ends, even if this process is killed. Raises: PostgresError.
    """
    password = cluster.home / "password"
    with open(password, "x", encoding="ascii", opener=unfollowed) as stream:
        stream.write(secrets.token_urlsafe(24))
    cluster.account.own(password)
    initdb: list[str | Path] = [
        binaries.program("initdb"),
        f"--pgdata={cluster.data}",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--data-checksums",
        *(BUILTIN_LOCALE if binaries.major >= 17 else LIBC_LOCALE),
        *([] if cluster.durable else ["--no-sync"]),
    ]
    _checked(cluster, initdb, lock=lock)
    # In single-user mode, no client can connect before the database exists.
    statements = (
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{cluster.password}'",
        f"ALTER ROLE {SUPERUSER} PASSWORD NULL",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    )
    run_single(cluster, statements, binaries=binaries, lock=lock)


def run_single(
    cluster: Cluster, statements: Sequence[str], *, binaries: Binaries, lock: int
) -> None:
    """Runs statements as superuser, while the server is not running. Raises: PostgresError."""
    single: list[str | Path] = [
        binaries.program("postgres"),
        "--single",
        f"-D{cluster.data}",
        "--exit_on_error=on",
        *([] if cluster.durable else ["--fsync=off"]),
        "postgres",
    ]
    _checked(cluster, single, lock=lock, text="".join(f"{line}\n" for line in statements))


def start(cluster: Cluster, *, binaries: Binaries, seconds: float = TIMEOUT_SECONDS) -> None:
    """Starts the server if it is not running, and waits until it accepts connections.

    Raises: PostgresError if it does not start. The message contains the end of the server's log.
    """
    deadline = time.monotonic() + seconds
    while (server := running(cluster)) and not server.ready:
        # The server is starting or stopping.
        if time.monotonic() > deadline:
            raise _failure("has not become ready.", cluster)
        time.sleep(POLL_SECONDS)
    if server is None:
        _start_after_orphans(cluster, binaries, deadline=deadline)
        if running(cluster) is None:
            raise _failure("stopped at once.", cluster)


def stop(cluster: Cluster, *, binaries: Binaries) -> bool:
    """Stops the server, which rolls back open transactions. Returns whether it was running.

    Raises: PostgresError if it does not stop.
    """
    if running(cluster) is None:
        return False
    _pg_ctl(cluster, binaries, "stop", "--mode=fast")
    return True


def _checked(cluster: Cluster, command: list[str | Path], *, lock: int, text: str = "") -> None:
    result = cluster.account.run(command, text=text, keep_open=lock)
    if result.returncode != 0:
        report = (result.stderr or result.stdout).strip()
        raise PostgresError(
            f"A new PostgreSQL cluster cannot be created under {cluster.home.parent}. "
            f"{Path(command[0]).name} reports:\n{report}"
        )


def _start_after_orphans(cluster: Cluster, binaries: Binaries, *, deadline: float) -> None:
    settings = SETTINGS | ({} if cluster.durable else FLEETING)
    options = shlex.join(f"--{name}={value}" for name, value in settings.items())
    trim_log(cluster.log)
    _disown_pid_file(cluster)
    # As in postmaster.pid, another process may have the dead server's pid now.
    (cluster.home / f"{SOCKET}.lock").unlink(missing_ok=True)
    while True:
        try:
            return _pg_ctl(
                cluster, binaries, "start", f"--log={cluster.log}", f"--options={options}"
            )
        except PostgresError as error:
            # Child processes of a killed server exit only after their current statement, so try
            # again.
            if STILL_IN_USE not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def _pg_ctl(cluster: Cluster, binaries: Binaries, action: str, *options: str) -> None:
    shared = (f"--pgdata={cluster.data}", "--wait", "--silent", f"--timeout={TIMEOUT_SECONDS}")
    result = cluster.account.run([binaries.program("pg_ctl"), action, *shared, *options])
    if result.returncode != 0:
        raise _failure(f"does not {action}: {result.stderr.strip()}", cluster)


def room_problem(cluster: Cluster) -> str:
    """Returns an error message if the cluster's disk is full, or "" if it has enough space."""
    free = shutil.disk_usage(cluster.home).free
    if free >= MIN_FREE_BYTES:
        return ""
    return f"No space left on the disk of {cluster.home}: {free // 1024} KiB are free."


def _failure(what: str, cluster: Cluster) -> PostgresError:
    """Returns an error with the cause: a full disk, or the end of the log."""
    if no_room := room_problem(cluster):
        return PostgresError(f"PostgreSQL does not run. {no_room}")
    lines = last_log_lines(cluster.log)
    end = f"\nThe end of its log {cluster.log}:\n{lines}" if lines else ""
    return PostgresError(f"PostgreSQL in {cluster.home} {what}{end}")


def _pid_lines(cluster: Cluster) -> list[str]:
    try:
        return (cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _is_server(pid: int, cluster: Cluster) -> bool:
    """Returns whether the process is this cluster's server.

    The server may have ended, and another process may have its pid now.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists() and is_alive(pid)
    return os.fsencode(cluster.data) in command.split(b"\0")


def _disown_pid_file(cluster: Cluster) -> None:
    """Replaces a dead server's pid in postmaster.pid with the pid of this process.

    If another process has the dead server's pid now, PostgreSQL would not start. It starts if the
    file has the pid of pg_ctl's parent process, which is this process. PostgreSQL needs the file's
    other lines to find shared memory that the dead server's children may still use.
    """
    lines = _pid_lines(cluster)
    file = cluster.data / "postmaster.pid"
    if lines:
        with open(file, "r+", encoding="utf-8", opener=unfollowed) as stream:
            stream.truncate()
            stream.writelines(f"{line}\n" for line in [str(os.getpid()), *lines[1:]])
    else:
        # After a crash, the file may be empty. PostgreSQL does not start if it is empty.
        file.unlink(missing_ok=True)
