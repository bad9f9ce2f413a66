"""Values as text: durations, numbers for people, redaction, and parsing."""

from __future__ import annotations
