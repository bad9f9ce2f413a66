"""The layer below all apps. It imports no app.

`http` handles HTTP requests. `db` opens database connections, receives notifications, and manages
partitions. `telemetry` has logs and metrics. `commands` has the base classes of commands, and reads
files for imports. `admin` has the base classes of admin pages, and `charts` draws their charts.
`limiter` limits the threads that wait, `memory` caches values, and `outgoing` sends requests to
other servers. `text` formats and parses values, and `coder` knows Coder's releases.

Code belongs here if two apps need it, or if it decides about every request. So it knows the form of
Coder's API and responses (`http`) and its releases (`coder`), but not the models and rules of an
app. Apps register their cards of the home page and their metrics here. The
project's settings configure this package.
"""
