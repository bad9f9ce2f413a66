"""Serves a reference: `python -m bench.references NAME PORT`.

It runs under the HTTP server of the service, with as many processes as the service.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import socket
import sys

from bench.service import WORKERS


def main(name: str, port: int) -> None:
    """Runs the processes until SIGTERM. Python ends them when this process ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    load = importlib.import_module(f"bench.references.{name}").build
    # Imported here, because the reference configures Django's settings.
    from coderapi.server.listener import Listener
    from coderapi.server.worker import Worker

    forking = multiprocessing.get_context("fork")
    listener = Listener(socket.create_server(("127.0.0.1", port)))
    listener.open()
    workers = [Worker(listener, load) for _ in range(WORKERS)]
    processes = [forking.Process(target=worker.run, daemon=True) for worker in workers]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
