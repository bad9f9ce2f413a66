"""A real server in processes of its own."""

from __future__ import annotations

from tests.test_server import Server

__all__ = ["Server"]
