"""Log lines and metrics: operators see a running process through them.

`logs` makes Django's LOGGING from the options: one log for people, two for machines, each to a file
or nowhere. Every line carries the id of its request and passes a filter that takes secrets out:
session tokens, passwords in URLs, and the secret options' own values.

`access` writes a line for each answer where that is asked for.

`metrics` has the three kinds that there are. Where something happens, an app counts it with
prometheus_client itself, in its module `metrics`. What merely is, such as the state of a pool, is a
*sample*: each process reads it every two seconds, and no request pays for it. What the database
knows is a *figure*: it is read when somebody scrapes, once in five seconds at most.

The processes of a server share a directory of files for their counts. A process of its own adds
them up and serves them, so that a busy or dead worker takes no count with it. There is no tracing:
the request id joins what logs say of one request.
"""

from __future__ import annotations

# prometheus_client looks for it when it is first imported, and keeps its values in files there.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
