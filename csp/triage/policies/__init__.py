"""The policies of a site: those that browsers report, and the whole policy to send."""

from __future__ import annotations
