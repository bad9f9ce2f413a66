"""PostgreSQL below the apps: connections, notifications, partitions, replicas. It imports no app.

`connections` is the one place that connections come from: Django's pool, the listener, the writers
of CSP reports, the jobs' locks, the migrations. So all of them notice a dead server within
seconds. It also says which errors mean "the database is away" and which are worth another try.

`listener` hears what other processes changed, by LISTEN on a connection of its own that is checked
by a heartbeat. Memories of keys and documents rely on it and stay unused while it is deaf.

`partitions` cuts tables by time: it makes partitions ahead of their time, and drops old ones whole.

`replicas` lists the processes that are connected now. Their connections' names say who they are.

Not done here: time-outs for statements and locks. PgBouncer refuses them at connect, so who needs
one sets it within the transaction (`SET LOCAL`). Which server is the primary is PostgreSQL's
business: a URL with several hosts and `target_session_attrs=read-write` finds it at each connect.
"""
