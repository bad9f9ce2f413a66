"""Values as text: durations, numbers for people, redaction, and reading files line by line."""

from __future__ import annotations
