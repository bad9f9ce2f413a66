"""The session token of somebody who is signed in to the admin.

It makes their browser's calls to the API theirs, such as the reports of our own content policy.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from audit.services import Target, actor_of, record
from tokens.extraction import COOKIE
from tokens.models import APIKey
from tokens.services import create_api_key
from users.models import User

# Where Django's session notes the key that was made for it.
SESSION_ENTRY = "coderapi_key_id"


def key_id(request: HttpRequest) -> str:
    """The id of the key made at this browser's sign-in, or ""."""
    return str(request.session.get(SESSION_ENTRY, ""))


def begin(request: HttpRequest, response: HttpResponse, *, now: datetime) -> None:
    """Makes a key for who has just signed in, and gives the browser its token in a cookie."""
    user = cast("User", request.user)
    new = create_api_key(
        user, lifetime_ns=settings.SESSION_DURATION_NS, now=now, actor=actor_of(request)
    )
    request.session[SESSION_ENTRY] = new.key.id
    response.set_cookie(
        COOKIE,
        new.token,
        max_age=settings.SESSION_COOKIE_AGE,
        path="/",
        httponly=True,
        secure=settings.SECURE_COOKIES,
        samesite=settings.SAMESITE,
    )


def end(key: str, *, request: HttpRequest, now: datetime) -> None:
    """Deletes a key that a sign-in made; one that is gone already is no mistake."""
    if not key:
        return
    with transaction.atomic():
        deleted, _ = APIKey.objects.filter(id=key).delete()
        if deleted:
            target = Target("api_key", key)
            record("api_key.delete", actor=actor_of(request), target=target, now=now)


def forget(response: HttpResponse) -> None:
    """Has the browser forget the token."""
    response.delete_cookie(COOKIE, path="/", samesite=settings.SAMESITE)
