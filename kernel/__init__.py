"""The layer below all apps. It imports no app.

`http` handles HTTP requests. `db` opens database connections, receives notifications, and manages
partitions. `postgres` runs the private PostgreSQL, and writes and restores backups. `telemetry` has
logs and metrics. `commands` and `admin` have the base classes of commands and admin pages.
`limiter` limits the threads that wait, and `memory` caches values. `line_imports` reads files for
imports. The other modules are small, for example `durations` and `humanize`.

Code belongs here if two apps need it, or if it decides about every request. So it knows the form of
Coder's API and responses (`http`) and its releases (`coder_releases`, `running_coder`), but not the
models and rules of an app. Apps register their cards of the home page and their metrics here. The
project's settings configure this package.
"""
