"""Returns the release of Coder that is running."""

from __future__ import annotations

from collections.abc import Callable

from kernel.coder.releases import Release
from kernel.settings import settings

# If set, returns the version that the Coder deployment reports, or "" if it is not known.
_source: Callable[[], str] | None = None


def use_source(source: Callable[[], str] | None) -> None:
    global _source
    _source = source


def running() -> str:
    """Returns the release of Coder that is running, without a leading v.

    With CODERAPI_CODER_URL, it is the release that Coder reports, or "" if Coder has never
    responded. Otherwise it is the release in CODERAPI_CODER_VERSION.
    """
    if _source is None:
        return str(settings.CODER_VERSION)
    try:
        return str(Release.parse(_source()))
    except ValueError:
        return ""


def running_build() -> str:
    """Returns the running release of Coder together with the version of this service."""
    release = running()
    joint = "." if "+" in release else "+"
    return f"v{release}{joint}coderapi.{settings.VERSION}" if release else ""
