"""The child that runs the jobs beside the HTTP server."""

from __future__ import annotations

import threading

from coderapi.server.children import Orders, run_as_child


def run_jobs(_orders: Orders, stop: threading.Event) -> None:
    from jobs.worker import work
    from kernel.telemetry import metrics

    metrics.start_sampling()
    work(stop)


if __name__ == "__main__":
    run_as_child(run_jobs)
