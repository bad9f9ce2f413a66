"""Signing in to the admin."""

from __future__ import annotations

import time
from typing import Any, cast

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from kernel.http.client_address import rate_limit_bucket
from kernel.http.identity import IdentifiedRequest
from kernel.http.rate_limit import WINDOW_SECONDS
from kernel.http.rate_limits import shared_counter
from users.models import User
from users.roles import OWNER

# Tries from one address in a minute.
MOST_TRIES = 60


class SignInForm(AdminAuthenticationForm):
    """Name and password of somebody who may enter; only an owner's while passwords are off."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "The name or the password is wrong, or the account may not enter here.",
        "passwords_off": "Signing in with a password is switched off for everybody but owners.",
        "too_many": "Too many tries from this address: wait a minute.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "Username or e-mail address"

    def clean(self) -> dict[str, Any]:
        if settings.API_RATE_LIMIT is not None and _tries(self.request) > MOST_TRIES:
            raise ValidationError(self.error_messages["too_many"], code="too_many")
        return super().clean()

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(cast("Any", user))
        if settings.DISABLE_PASSWORD_AUTH and OWNER not in cast("User", user).roles:
            raise ValidationError(self.error_messages["passwords_off"], code="passwords_off")


def _tries(request: HttpRequest | None) -> int:
    """How many tries the request's address has had in this minute, with this one."""
    if request is None:
        return 0
    bucket = bucket_of(cast("IdentifiedRequest", request).client_address)
    return shared_counter().add(bucket, int(time.time()) // WINDOW_SECONDS)


def bucket_of(address: str) -> str:
    """What the tries of an address are counted under."""
    return f"admin-sign-in:{rate_limit_bucket(address)}"
