"""The releases of Coder: what differs between them, and which one is running."""

from __future__ import annotations
