"""Signing in with a password, and signing out."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse

from audit.services import Actor, Target, record
from kernel.http.errors import APIError
from tokens.extraction import COOKIE
from tokens.models import APIKey
from tokens.services import NewKey, create_api_key, delete_keys
from users.models import User
from users.passwords import is_right
from users.services import lock, note_failed_sign_in, target_of

# Where Django's session, which opens the admin, notes the key of the same sign-in.
SESSION_ENTRY = "coderapi_key_id"


def sign_in(user: User | None, password: str, *, address: str, now: datetime) -> NewKey:
    """Makes a session key for the user if the password is theirs.

    An unknown user, None, is answered as a wrong password is, and takes as long.
    Raises: APIError 401, or 403 where passwords are switched off.
    """
    if settings.DISABLE_PASSWORD_AUTH:
        raise APIError(403, "Forbidden.", detail="Signing in with a password is switched off.")
    right = is_right(user, password)
    if user is None or not right or not user.is_active:
        note_failed_sign_in(user, address=address, now=now, by="api")
        # Who knows the password may learn that the account is suspended.
        raise _suspended() if user and right else _wrong()
    actor = Actor(user_id=user.id, name=user.username, address=address)
    try:
        with transaction.atomic():
            if not lock(user).is_active:
                raise _suspended()
            record(
                "user.sign_in", actor=actor, target=target_of(user), now=now, after={"by": "api"}
            )
            lifetime_ns = settings.SESSION_DURATION_NS
            return create_api_key(user, lifetime_ns=lifetime_ns, actor=actor, now=now)
    except APIError as error:
        # The user has been deleted since, or the password has been changed.
        raise _wrong() if error.status in {404, 409} else error from None


def _wrong() -> APIError:
    return APIError(401, "The e-mail address or the password is wrong.")


def _suspended() -> APIError:
    return APIError(401, "User is not active.", detail="The account is suspended.")


def give_cookie(response: HttpResponse, token: str, *, max_age: int | None = None) -> None:
    """Has the browser send the token from now on; without `max_age` until it is closed."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=max_age,
        path="/",
        httponly=True,
        secure=settings.SECURE_COOKIES,
        samesite=settings.SAMESITE,
    )


def take_cookie(response: HttpResponse) -> None:
    """Has the browser forget the token."""
    response.delete_cookie(COOKIE, path="/", samesite=settings.SAMESITE)


def sign_out(key_id: str, *, actor: Actor, now: datetime) -> None:
    """Deletes the key that the request came with."""
    with transaction.atomic():
        delete_keys(APIKey.objects.filter(id=key_id), actor=actor, now=now)
        target = Target("user", str(actor.user_id), actor.name)
        record("user.sign_out", actor=actor, target=target, now=now, after={"by": "api"})
