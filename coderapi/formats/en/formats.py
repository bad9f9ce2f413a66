"""The formats of dates and times on pages. They replace Django's formats for English."""

from __future__ import annotations

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = r"Y-m-d H:i:s \U\T\C"
