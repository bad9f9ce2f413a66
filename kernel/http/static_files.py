"""Static files under hashed names that browsers may keep for ever, once they have been collected.

A clone serves without that step: then each file has its own name, and is read from where it lies.
"""

from __future__ import annotations

from django.contrib.staticfiles.storage import StaticFilesStorage
from whitenoise.storage import (  # type: ignore[import-untyped]
    CompressedManifestStaticFilesStorage,
)


class CollectedOrPlain(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """The name that `collectstatic` gave a file, or the file's own where it gave none."""

    def url(self, name: str | None, force: bool = False) -> str:
        collected = name is not None and self.clean_name(name) in self.hashed_files
        if collected:
            return str(super().url(name, force))
        return StaticFilesStorage.url(self, name)
