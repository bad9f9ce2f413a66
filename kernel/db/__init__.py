"""Access to PostgreSQL for all apps: connections, notifications, partitions, processes.

`connections` opens all connections: those of Django's pool, and separate ones for the listener, the
writer of CSP reports, the locks of jobs, and migrations. They all have the same timeouts, so a
dead server is detected within seconds. The module also classifies errors: whether the database is
unavailable, and whether a retry may succeed.

`listener` receives notifications from other processes with LISTEN, and checks with a heartbeat that
they arrive. `kernel.memory` uses cached keys and documents only while notifications arrive.

`backend` is the database backend for Django. A thread keeps a connection of the pool, and a slot of
a `kernel.limiter`, only for one statement or one transaction.

`sql` runs a statement for which the ORM has no form. `paging` reads long lists in pages.
`partitions` creates and drops the partitions of tables that are partitioned by time, and `indexes`
adds indexes to them. `replicas` lists the connected processes.

**A frozen database.** This process measures the time of each statement, because a frozen server
cannot. A statement that takes too long is canceled, and the request gets a 503: nothing was
written. A commit is not canceled. If the response to a commit is lost, the rows may be written, and
the request gets a 504 (`CommitUnknownError`). docs/architecture.md has the times, and what happens
to other requests.

Jobs and commands do not have these time limits, because their statements may take long. They set
their own limits in the transaction (`SET LOCAL`). libpq finds the primary server: with several
hosts and `target_session_attrs=read-write` in the URL, it looks for the primary at each connect.
"""
