"""The child that runs the jobs beside the HTTP server."""

from __future__ import annotations

import os

import django

from coderapi import bootstrap
from coderapi.server.lifeline import take_over
from kernel.loops import run_until_signalled


def main() -> None:
    orders = take_over()
    bootstrap.adopt_flags([(flag, value) for flag, value in orders["flags"]])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")
    django.setup()
    from jobs.worker import work
    from kernel.telemetry import measures

    measures.start_sampling()
    run_until_signalled(work)


if __name__ == "__main__":
    main()
