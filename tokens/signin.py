"""Sign-in with a password, and sign-out. The API and the web pages use these functions."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from urllib.parse import unquote
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from audit.services import Actor, record, user_target
from kernel.http.errors import APIError, forbidden
from kernel.http.results import ANONYMOUS, results_of
from kernel.limiter import Limiter
from tokens.models import APIKey
from tokens.services import NewKey, create_api_key, delete_keys
from tokens.verification.caller import attach
from users.passwords import MAX_WAIT_SECONDS, count_failure, count_try, is_right
from users.permissions import KeyIdentity
from users.roles import OWNER
from users.selectors import user_by_name
from users.services import lock_user, note_failed_sign_in, target_of

# The admin uses a Django session. The value of this entry in the Django session is the id of the
# session key that was created in the same sign-in.
SESSION_ENTRY = "coderapi_key_id"
PASSWORDS_DISABLED = "Signing in with a password is disabled."
# Sign-ins have few threads. If the database does not respond, only one thread waits for it. The
# others reject their sign-ins, so that later sign-ins get a response soon.
LOOKUPS = Limiter(
    "lookups of users who sign in",
    limit=1,
    timeout=MAX_WAIT_SECONDS,
    full="Another sign-in is waiting for the database.",
)


def sign_in(request: HttpRequest, name: str, password: str, *, by: str) -> NewKey:
    """Creates a session key for a user if the password is right, and ends the browser's session.

    `name` is the username or the e-mail address. For an unknown name, the error and the response
    time are the same as for a wrong password. If CODER_DISABLE_PASSWORD_AUTH is set, only owners
    may sign in, and only on the page. The audit entry contains `by`: "api" or "page". Raises:
    APIError 401 for a wrong password or a suspended user, 403 if passwords are disabled, 429 for
    too many attempts; LimitReachedError if the lookup of the user has to wait too long.
    """
    address, now = results_of(request).address, timezone.now()
    count_try(address, name=name)
    if settings.DISABLE_PASSWORD_AUTH and by == "api":
        raise forbidden(PASSWORDS_DISABLED)
    with LOOKUPS.hold():
        user = user_by_name(name)
    is_correct = is_right(user, password)
    if user is None or not is_correct or not user.is_active:
        count_failure(name)
        note_failed_sign_in(user, address=address, now=now, by=by)
        # The error says "suspended" only to a caller who knows the password.
        raise _suspended() if user and is_correct else _wrong()
    if settings.DISABLE_PASSWORD_AUTH and OWNER not in user.roles:
        raise forbidden(PASSWORDS_DISABLED)
    actor = Actor(user_id=user.id, name=user.username, address=address)
    try:
        with transaction.atomic():
            if not lock_user(user).is_active:
                raise _suspended()
            record("user.sign_in", actor=actor, target=target_of(user), now=now, after={"by": by})
            lifetime_ns = settings.SESSION_DURATION_NS
            new = create_api_key(user, lifetime_ns=lifetime_ns, actor=actor, now=now)
    except APIError as error:
        # 404 or 409: the user was deleted or changed after the password was checked.
        raise _wrong() if error.status in {404, 409} else error from None
    end_browser_session(request, now=now, by=by)
    return new


def _wrong() -> APIError:
    return APIError(401, "The e-mail address or the password is wrong.")


def _suspended() -> APIError:
    return APIError(401, "User is not active.", detail="The account is suspended.")


def set_cookie(response: HttpResponse, token: str, *, max_age: int | None = None) -> None:
    """Sets the session cookie. If `max_age` is None, closing the browser deletes the cookie."""
    response.set_cookie(
        settings.SESSION_TOKEN_COOKIE,
        token,
        max_age=max_age,
        path=settings.PAGES_PATH,
        httponly=True,
        secure=settings.SECURE_COOKIES,
        samesite=settings.SAMESITE,
    )


def is_own_page(target: str) -> bool:
    """Returns whether the target is a path below CODERAPI_PAGES_PATH.

    Other applications can run on the same host. Browsers resolve `..` and encoded dots, and treat a
    backslash as a slash.
    """
    path = unquote(target.partition("?")[0]).replace("\\", "/")
    return (
        url_has_allowed_host_and_scheme(target, allowed_hosts=None)
        and path.startswith(settings.PAGES_PATH)
        and not {".", ".."}.intersection(path.split("/"))
    )


def delete_cookie(response: HttpResponse) -> None:
    response.delete_cookie(
        settings.SESSION_TOKEN_COOKIE, path=settings.PAGES_PATH, samesite=settings.SAMESITE
    )


def sign_out(key_id: str, *, actor: Actor, now: datetime, by: str) -> None:
    """Deletes the key and records the sign-out. `by` is "api" or "page"."""
    target = user_target(cast("UUID", actor.user_id), actor.name)
    with transaction.atomic():
        delete_keys(APIKey.objects.filter(id=key_id), actor=actor, now=now)
        record("user.sign_out", actor=actor, target=target, now=now, after={"by": by})


def session_of(request: HttpRequest) -> KeyIdentity | None:
    """Returns the identity from the session cookie, or None. Ignores tokens in other places."""
    results = results_of(request)
    attach(results)
    presented, identity = results.caller.presented, results.caller.identity
    is_cookie = presented is not None and presented.is_cookie
    return cast("KeyIdentity | None", identity) if is_cookie else None


def end_browser_session(request: HttpRequest, *, now: datetime, by: str) -> None:
    """Ends the session and the admin session that the cookies of the request identify.

    If the session cookie contains an `is_minted` key, the key is not deleted, because a user has
    created it on purpose.
    """
    # Django's session middleware does not run for API routes.
    attached: SessionBase | None = getattr(request, "session", None)
    admin = attached or SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    identity = session_of(request)
    key_ids = {admin.get(SESSION_ENTRY)}
    if identity is not None and not identity.is_minted:
        key_ids.add(identity.key_id)
    admin.flush()
    for key in APIKey.objects.filter(id__in=key_ids - {None}).select_related("user"):
        actor = Actor(key.user_id, key.user.username, results_of(request).address)
        sign_out(key.id, actor=actor, now=now, by=by)
    results_of(request).caller = ANONYMOUS
