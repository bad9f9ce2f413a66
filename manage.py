#!/usr/bin/env python3
"""The entry point of every command in a checkout."""

from __future__ import annotations

from coderapi.__main__ import main

if __name__ == "__main__":
    main()
