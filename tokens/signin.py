"""Signing in with a password, and signing out."""

from __future__ import annotations

import time
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse

from audit.services import Actor, Target, record
from kernel.http.client_address import rate_limit_bucket
from kernel.http.errors import APIError
from kernel.http.rate_limit import check, shared_counter
from tokens.extraction import COOKIE
from tokens.models import APIKey
from tokens.services import NewKey, create_api_key, delete_keys
from users.models import User
from users.passwords import is_right
from users.services import target_of

TRIES_A_MINUTE = 60
# Where Django's session, which opens the admin, notes the key of the same sign-in.
SESSION_ENTRY = "coderapi_key_id"


def count_try(address: str) -> None:
    """Raises: APIError 429 for an address that has tried too often in this minute."""
    if settings.API_RATE_LIMIT is None:
        return
    now = time.time()
    bucket = f"sign-in:{rate_limit_bucket(address)}"
    verdict = check(shared_counter(), bucket, limit=TRIES_A_MINUTE, now=now)
    if verdict.refused:
        raise APIError(
            429,
            "Too many requests.",
            detail=f"The limit is {TRIES_A_MINUTE} sign-ins a minute.",
            headers={"Retry-After": verdict.headers(now)["Retry-After"]},
        )


def sign_in(user: User | None, password: str, *, address: str, now: datetime) -> NewKey:
    """Makes a session key for the user if the password is theirs.

    An unknown user, None, is answered as a wrong password is, and takes as long.
    Raises: APIError 401, or 403 where passwords are switched off.
    """
    if settings.DISABLE_PASSWORD_AUTH:
        raise APIError(403, "Forbidden.", detail="Signing in with a password is switched off.")
    right = is_right(user, password)
    if user is None or not right or not user.is_active:
        _note_failure(user, address=address, now=now)
        # Who knows the password may learn that the account is suspended.
        raise _suspended() if user and right else _wrong()
    actor = Actor(user_id=user.id, name=user.username, address=address)
    with transaction.atomic():
        record("user.sign_in", actor=actor, target=target_of(user), now=now, after={"by": "api"})
        return create_api_key(user, lifetime_ns=settings.SESSION_DURATION_NS, actor=actor, now=now)


def _note_failure(user: User | None, *, address: str, now: datetime) -> None:
    """Notes it. An address that nobody has is left out: it may be a password in the wrong field."""
    target = target_of(user) if user else Target("user", "")
    actor = Actor(address=address)
    record("user.sign_in_failed", actor=actor, target=target, now=now, after={"by": "api"})


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
