"""Finding users."""

from __future__ import annotations

import uuid

from coderapi.errors import APIError
from coderapi.identity import Identity
from users import roles
from users.models import User
from users.names import is_uuid

ME = "me"


def unknown_user() -> APIError:
    """400 for a user in the path who does not exist or may not be seen.

    Coder's clients search for these very words and take the 400 for "not found".
    """
    return APIError(400, "The user in the path must be an existing uuid or username.")


def user_in_path(reference: str, *, viewer: Identity) -> User:
    """The user that `me`, a UUID or a username (in any case) stands for, as the viewer may see.

    Raises: APIError 400, alike for a user who does not exist and for one who may not be seen.
    Source: the contract's rule for `{user}`.
    """
    user = _lookup(reference, viewer)
    if user is None:
        raise unknown_user()
    if user.id != viewer.user_id and not roles.may(viewer.roles, "user:read"):
        raise unknown_user()
    return user


def _lookup(reference: str, viewer: Identity) -> User | None:
    if reference == ME:
        return User.objects.filter(id=viewer.user_id).first()
    if is_uuid(reference):
        return User.objects.filter(id=uuid.UUID(reference)).first()
    if "\0" in reference:
        return None
    return User.objects.filter(username__iexact=reference).first()


def user_exists() -> bool:
    """Whether anybody has been created yet."""
    return User.objects.exists()
