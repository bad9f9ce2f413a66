"""Django's settings, for modules that run in every request.

Django checks each access to a setting in Python, because its class also wraps other objects. A
request reads a dozen settings before its view, and each check took as long as parsing a header.
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
