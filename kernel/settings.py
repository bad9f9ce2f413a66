"""Django's settings, for modules that run in every request.

A request reads a dozen settings before its view. Django runs Python code for each access to a
setting, which takes as long as parsing a header. This module reads each setting only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as of_django
from django.core.signals import setting_changed

if TYPE_CHECKING:
    from django.conf import settings
else:

    class Bound:
        """Reads each setting once. A test that changes a setting makes it read all again."""

        def __getattr__(self, name: str) -> Any:
            found = self.__dict__[name] = getattr(of_django, name)
            return found

    settings = Bound()
    setting_changed.connect(lambda **_: vars(settings).clear(), weak=False)

__all__ = ["settings"]
