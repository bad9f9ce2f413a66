"""PostgreSQL below the apps: connections, notifications, partitions, replicas.

`connections` opens every connection: those of Django's pool, and separate ones for the listener,
the writer of CSP reports, the locks of jobs, and migrations. So a dead server is noticed within
seconds everywhere. It also classifies errors: the database is away, or another try may succeed.

`listener` receives notifications from other processes by LISTEN, and checks by a heartbeat that
they arrive. `kernel.memory` uses remembered keys and documents only while they do.

`backend` is Django's own backend. It takes a place in a `kernel.limiter` for each connection.

`pages` reads long lists in pages. `partitions` creates and drops the partitions of tables by time.
`replicas` lists the processes that are connected.

**A frozen database.** A request waits up to two seconds for a connection of the pool, and 3.5
seconds for a statement, so it is answered within six. This process measures the time itself,
because a frozen server cannot. A statement that takes longer is cancelled, and the request is
answered 503: nothing was written. The limiter then refuses other requests at once, so that most
threads stay free for requests that memory can answer. A commit is not cancelled. If its answer is
lost, the rows may be written, and the request is answered 504 (`CommitUnknownError`).

Jobs and commands have no such bounds, since their statements may take long. They set their own in
the transaction (`SET LOCAL`). Finding the primary server is left to libpq: a URL with several hosts
and `target_session_attrs=read-write` finds it at each connect.
"""
