"""The `{user}` of a path."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import StringConverter

from users.names import RESERVED

# These words have routes of their own. `me` stands for the caller, so it is a user here.
_ROUTES = "|".join(sorted(RESERVED - {"me"}))


class UserConverter(StringConverter):
    """`me`, a UUID or a username; not a word that has a route of its own."""

    regex = rf"(?!(?:{_ROUTES})(?:/|$))[^/]+"


register_converter(UserConverter, "user")
