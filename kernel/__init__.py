"""The layer below all apps. It imports no app, and has no code for users, reports or snapshots.

`http` handles HTTP requests. `db` opens database connections, receives notifications, and manages
partitions. `postgres` runs the private PostgreSQL, and writes and restores backups. `telemetry` has
logs and metrics. The other modules have the base classes of commands and admin pages, charts,
readable numbers and times, durations in Go's notation, the parsing of times and booleans, e-mail,
the data directory, the import of lines, loops and signals, the limiter, and the cache (`memory`).

Code belongs here if two apps need it, and if another project could use it. Apps register their
cards of the home page and their metrics here. The project's settings configure this package.
"""
