"""Which counter this process counts requests on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from kernel.http.rate_limit import RedisCounter, SharedCounter


@cache
def shared_counter() -> SharedCounter | RedisCounter:
    """Redis where CACHE_URL names it, else a file that this host's processes share."""
    if settings.CACHE_URL:
        return RedisCounter(settings.CACHE_URL)
    return SharedCounter(_private_directory() / f"rate-limits-{_service()}")


def _service() -> str:
    name = f"{settings.SECRET_KEY}:{settings.DATABASES['default'].get('NAME')}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _private_directory() -> Path:
    """A directory of this user's own below the temporary one; anybody else's is refused."""
    path = Path(tempfile.gettempdir()) / f"coderapi-shared-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        raise ImproperlyConfigured(f"{path} must be a directory of this user's own, mode 0700.")
    return path
