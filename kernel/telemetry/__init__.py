"""Logs and metrics of a running process.

`logs` builds Django's LOGGING from the options: one log for readers and two for machines, each in a
file or off. Every line has the id of its request. A filter redacts session tokens, passwords in
URLs, and the values of secret options.

`access` writes a line for each response, if that is enabled.

`metrics` has three kinds. Counters change with each event: an app declares them with
prometheus_client in its module `metrics`. Sampled gauges, such as the state of a pool, are read
every two seconds by each process, so no request pays for them. Database gauges are read for a
scrape, at most once in five seconds.

The processes of a server share a directory of files for their counts. A process of its own adds
them up and serves them, so a busy or dead worker loses no count. It also serves the process metrics
of prometheus_client for each of them. The request id links the log lines
of a request, in place of tracing.
"""

from __future__ import annotations

# prometheus_client reads it at its first import, and stores its values in that directory.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
