"""The child process that runs the jobs."""

from __future__ import annotations

import threading

from coderapi.server.children import WorkerConfiguration, run_as_child


def run_jobs(_configuration: WorkerConfiguration, stop: threading.Event) -> None:
    from jobs.worker import work
    from kernel.telemetry import metrics

    metrics.start_sampling()
    work(stop)


if __name__ == "__main__":
    run_as_child(run_jobs)
