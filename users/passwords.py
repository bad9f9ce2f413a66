"""Validates, checks and hashes passwords, and limits the load that hashing causes.

Argon2 needs much time and memory by design. So each process computes one hash at a time. A request
that waits too long is rejected, with the header Retry-After.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import (
    CommonPasswordValidator,
    NumericPasswordValidator,
    UserAttributeSimilarityValidator,
    password_validators_help_texts,
    validate_password,
)
from django.core.exceptions import ValidationError

from kernel.futures import Pool
from kernel.http.errors import Validation
from kernel.http.steps.hosts import client_of
from kernel.http.steps.rate_limit import (
    WINDOW_SECONDS,
    check,
    counter_of_names,
    limit_of,
    shared_counter,
)
from kernel.limiter import Limiter
from users.models import User
from users.names import old_normal_email

MIN_LENGTH = 8
MAX_LENGTH = 64
MAX_TRIES_A_MINUTE = 60
# After this number of failed attempts for a name, each client may try it only a few times.
MAX_FAILURES_A_MINUTE = 60
MAX_TRIES_UNDER_ATTACK = 5
LENGTH = f"A password must have {MIN_LENGTH} to {MAX_LENGTH} characters."
NO_PASSWORD = "A service account has no password."  # noqa: S105 - a message
MAX_WAIT_SECONDS = 2.0
BUSY = "Too many passwords are being checked right now. Try again in a few seconds."


HASHING = Limiter("password hashing", limit=1, timeout=MAX_WAIT_SECONDS, full=BUSY)


class BoundedArgon2(Argon2PasswordHasher):
    """Argon2id with OWASP's minimum parameters: 19 MiB, 2 passes, parallelism 1."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return _hashed(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return _hashed(super().verify, password, encoded)


def _hashed[T](compute: Callable[[str, str], T], *texts: str) -> T:
    """Computes one hash at a time. Raises: LimitReachedError after two seconds."""
    with HASHING.hold():
        return _thread().submit("", partial(compute, *texts)).result()


@cache
def _thread() -> Pool:
    """Returns the thread that hashes.

    The allocator keeps 19 MiB for every thread that has computed a hash.
    """
    return Pool(1, name="hashing")


# A forked process lacks the thread.
os.register_at_fork(after_in_child=_thread.cache_clear)


def count_try(address: str, *, name: str = "") -> None:
    """Counts an attempt of an address to sign in. `name` is the name that the client has sent.

    If many attempts for the same name have failed, each client may try this name only a few times.
    So guesses from many addresses are slow, and the user can still sign in from another address.
    Raises: APIError 429.
    """
    if settings.API_RATE_LIMIT is None:
        return
    now, client = time.time(), client_of(address)
    limit = limit_of(client, MAX_TRIES_A_MINUTE)
    check(shared_counter(), f"sign-in:{client}", limit=limit, now=now, noun="sign-ins")
    counter, bucket = counter_of_names(), _failures_of(name)
    if name and counter.add(bucket, int(now) // WINDOW_SECONDS, 0) >= MAX_FAILURES_A_MINUTE:
        noun = "sign-ins to this account"
        check(counter, f"{bucket}:{client}", limit=MAX_TRIES_UNDER_ATTACK, now=now, noun=noun)


def count_failure(name: str) -> None:
    """Counts a failed attempt for the name, whether or not it is the name of an account."""
    counter_of_names().add(_failures_of(name), int(time.time()) // WINDOW_SECONDS)


def _failures_of(name: str) -> str:
    # The name of an account has many forms, for example in capitals. The old form of an address is
    # the same for all names of an account that 0.1.0 stored.
    return f"failed-sign-in:{old_normal_email(name)}"


class PasswordValidator:
    """Rejects a password by its length, by Django's rules, or because it is the current password.

    The last check takes a hash, so the others come first. A service account has no password, so
    every password is invalid.
    """

    def __init__(self) -> None:
        rules = (
            UserAttributeSimilarityValidator,
            CommonPasswordValidator,
            NumericPasswordValidator,
        )
        self._rules = [rule() for rule in rules]

    def validate(self, password: str, user: User | None = None) -> None:
        if user and not user.has_usable_password():
            raise ValidationError(NO_PASSWORD)
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise ValidationError(LENGTH)
        validate_password(password, user, self._rules)
        if user and user.password and user.check_password(password):
            raise ValidationError("This is the current password.")

    def get_help_text(self) -> str:
        return " ".join([LENGTH, *password_validators_help_texts(self._rules)])


def problems(password: str, user: User) -> list[Validation]:
    """Returns a list with the error for an invalid new password, or an empty list."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        return [Validation("password", " ".join(error.messages))]
    return []


def is_right(user: User | None, password: str) -> bool:
    """Returns whether this is the user's password.

    If `user` is None, the check takes the same time, so that a caller cannot find out which users
    exist.
    """
    if user is None:
        User().set_password(password)
        return False
    return user.check_password(password)
