"""PostgreSQL below the apps: connections, notifications, partitions, replicas. It imports no app.

`connections` is the one place that connections come from: Django's pool, the listener, the writers
of CSP reports, the jobs' locks, the migrations. So all of them notice a dead server within
seconds. It also says which errors mean "the database is away" and which are worth another try.

`listener` hears what other processes changed, by LISTEN on a connection of its own that is checked
by a heartbeat. Memories of keys and documents rely on it and stay unused while it is deaf.

`partitions` cuts tables by time: it makes partitions ahead of their time, and drops old ones whole.

`replicas` lists the processes that are connected now. Their connections' names say who they are.

`waiting` bounds how many threads wait for the database at a time, so that others always answer.
`backend` is Django's own with bounded waits.

A request waits two seconds for a connection, and for each statement so long that it is answered
within six. We measure the time in our own process, because a frozen server cannot, and PgBouncer
does not accept time-out settings when connecting.
A commit whose answer is lost is told apart from one that failed (`CommitUnknownError`).

Not done here: bounds for jobs and commands, whose statements may take long; who needs one there
sets it within the transaction (`SET LOCAL`). Which server is the primary
is PostgreSQL's business: a URL with several hosts and `target_session_attrs=read-write` finds it at
each connect.
"""
