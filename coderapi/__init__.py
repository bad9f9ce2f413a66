"""Composition above the apps, and the kernel below them; no business of its own."""

from __future__ import annotations

__version__ = "0.1.0"
