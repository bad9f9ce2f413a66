"""The layer below all apps. It imports no app, and knows nothing of users, reports or snapshots.

`http` receives requests and answers them. `db` connects to the database, listens to it and
partitions tables. `postgres` runs the private PostgreSQL, and backs up and restores. `telemetry`
logs and measures. Single files have the base classes of admin pages, charts, numbers and times for
readers, durations in Go's notation, times and truth values, mail, the data directory, lines of
imported files, loops and signals, the limiter, and the memory.

Code belongs here if two apps need it and another project could use it. Apps register with the
kernel what it needs from them, such as a card of the home page or a metric. The project's settings
configure it.
"""
