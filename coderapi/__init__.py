"""The Django project: settings, URLs, the admin site and the server.

The business logic is in the apps.
"""

from __future__ import annotations

__version__ = "0.2.0"
