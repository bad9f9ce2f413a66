"""The versions of a site: their groups, comparisons of two, and the gate for a new one."""

from __future__ import annotations
