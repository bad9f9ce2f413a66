"""The project: settings, URLs, the admin site, and the server. Apps have the business logic."""

from __future__ import annotations

__version__ = "0.1.0"
