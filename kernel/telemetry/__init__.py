"""Logs and metrics of a running process.

`logs` builds Django's LOGGING from the options. There is one log for people, and two logs in
formats for log collectors. Each is written to a file, or disabled. Every line has the id of its
request. A filter redacts session tokens, passwords in URLs, and the values of secret options.

`access` writes a line for each response, if the access log is enabled.

`metrics` has three kinds of metrics. Counters change with each event: an app declares them with
prometheus_client in its module `metrics`. Sampled gauges, such as the state of a pool, are read by
each process every two seconds, so they do not slow down requests. Database gauges are read from the
database during a scrape, and cached for five seconds.

The processes of a server write their values to files in a shared directory. A separate process adds
up these values and serves the results, so no count is lost if a worker is busy or has ended. This
process also serves the standard process metrics of prometheus_client for each worker. Requests
are not traced: the request id connects the log lines of a request.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel.loops import is_alive

# prometheus_client reads this variable at its first import. It stores its values in that directory.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DIRECTORY_PREFIX = "coderapi-metrics-"


@contextmanager
def shared_directory() -> Iterator[Path]:
    """Creates a temporary directory for the metrics of this server's processes.

    First removes the directories that killed servers left behind.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    owner = os.getpid()
    directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{owner}-"))
    try:
        yield directory
    finally:
        # A forked child also leaves the block, but must not remove the directory.
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for found in parent.glob(f"{DIRECTORY_PREFIX}*"):
        number = found.name.removeprefix(DIRECTORY_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            ours = found.lstat().st_uid == os.geteuid() and not found.is_symlink()
            if ours and number.isdecimal() and not is_alive(int(number)):
                shutil.rmtree(found, ignore_errors=True)
