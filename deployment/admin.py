"""The admin finds an app's pages in its module `admin`; ours are in rooms of their own."""

from __future__ import annotations

from deployment.history import admin as history_admin
from deployment.stats import admin as stats_admin

__all__ = ["history_admin", "stats_admin"]
