#!/usr/bin/env python3
"""The entry point of every command in a checkout."""

from __future__ import annotations

from kernel.exit_status import exit_on_signals

if __name__ == "__main__":
    # Before the other imports, which take a part of a second.
    exit_on_signals()

    from coderapi.__main__ import main

    main()
