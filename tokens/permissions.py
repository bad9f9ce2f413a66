"""The permissions as the apps above ask for them; they stand with the roles, in `users`."""

from __future__ import annotations

from users.permissions import Authenticated, identity_of, may, scoped

__all__ = ["Authenticated", "identity_of", "may", "scoped"]
