"""Validating, checking and hashing passwords, without taking the service down.

Argon2 takes time and memory on purpose, so only a few hashes run at once, over all processes of the
service on a host, and a thread that hashes or waits for its turn holds no database connection.
A request that waits too long is rejected with Retry-After.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from kernel.db.connections import release_connection
from kernel.http.errors import Validation
from kernel.http.hosts import rate_limit_bucket
from kernel.http.rate_limit import count_or_refuse, private_directory
from kernel.limiter import Limiter, LimitReachedError
from users.models import User

MIN_LENGTH = 8
MAX_LENGTH = 64
MAX_TRIES_A_MINUTE = 60
NO_PASSWORD = Validation("password", "A service account has no password.")
# One hash takes a core for about 25 ms, so half of the cores stay free for other requests.
MAX_HASHES = min(8, max(1, (os.cpu_count() or 1) // 2))
MAX_WAIT_SECONDS = 2.0
BUSY = "Too many passwords are being checked right now. Try again in a few seconds."
POLL_SECONDS = 0.02
# One thread of each process hashes. The allocator keeps 19 MiB for every thread that ever did.
_hashing = ThreadPoolExecutor(1, thread_name_prefix="hashing")
HASHING = Limiter(
    "password hashing",
    limit=1,
    timeout=MAX_WAIT_SECONDS,
    queue=settings.SERVER_THREADS // 4,
    full=BUSY,
)


class BoundedArgon2(Argon2PasswordHasher):
    """Argon2id with OWASP's minimum parameters (19 MiB, 2 passes), one hash at a time."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _turn():
            return _hashing.submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        with _turn():
            return _hashing.submit(super().verify, password, encoded).result()


@contextmanager
def _turn() -> Iterator[None]:
    """Waits for permission to hash. Raises: LimitReachedError after two seconds."""
    release_connection()
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    with HASHING.hold():
        file = _lock_any(deadline)
        try:
            yield
        finally:
            os.close(file)


def _lock_any(deadline: float) -> int:
    """Returns a locked, open file. The system unlocks it when the process ends or is killed."""
    while True:
        for number in range(MAX_HASHES):
            path = private_directory() / f"hashing-{number}"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            os.close(file)
        if time.monotonic() > deadline:
            raise LimitReachedError(BUSY, is_own=False)
        time.sleep(POLL_SECONDS)


def count_try(address: str) -> None:
    """Counts a sign-in attempt of an address. Raises: APIError 429 after 60 in a minute."""
    if settings.API_RATE_LIMIT is not None:
        bucket = f"sign-in:{rate_limit_bucket(address)}"
        count_or_refuse(bucket, limit=MAX_TRIES_A_MINUTE, of="sign-ins")


def problems(password: str, user: User) -> list[Validation]:
    """Returns why the user cannot have this password: one entry, or none."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        detail = f"A password must have {MIN_LENGTH} to {MAX_LENGTH} characters."
        return [Validation("password", detail)]
    try:
        validate_password(password, user)
    except ValidationError as error:
        return [Validation("password", " ".join(error.messages))]
    return []


def problems_of_change(password: str, user: User) -> list[Validation]:
    """Returns why the user cannot change to this password, which must differ from the old one.

    A service account cannot have a password.
    """
    if not user.has_usable_password():
        return [NO_PASSWORD]
    found = problems(password, user)
    if not found and user.check_password(password):
        return [Validation("password", "This is the current password.")]
    return found


def is_right(user: User | None, password: str) -> bool:
    """Returns whether this is the user's password. Takes the same time without a user."""
    if user is None:
        User().set_password(password)
        return False
    return user.check_password(password)
