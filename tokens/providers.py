"""Another service that session tokens may belong to.

`verification` first looks a token up among our own keys. If no key has the token's id, it asks the
other service, if an app has registered one. So our own tokens do not leave this service while their
keys exist.
"""

from __future__ import annotations

from typing import Protocol

from kernel.http.errors import APIError
from tokens.token_format import TokenParts
from users.permissions import KeyIdentity


class IdentityProvider(Protocol):
    """Identifies the session tokens that are not ours. Caches its answers itself."""

    def recall(self, fingerprint: bytes) -> KeyIdentity | APIError | None:
        """Returns the cached answer for a token, or None. Does not wait."""

    def look_up(
        self, parts: TokenParts, fingerprint: bytes, address: str
    ) -> KeyIdentity | APIError:
        """Returns the identity of the token, or the error for it. May ask the service.

        `address` is the address of the client. Raises: APIError 503 if the service does not
        respond.
        """

    def max_token_lifetime(self, token: str, caller: KeyIdentity, user: str) -> int:
        """Returns the service's limit for the tokens of a user: `me`, a UUID or a username.

        Units: nanoseconds. Raises: APIError 404 or 503.
        """


_other: IdentityProvider | None = None


def register(provider: IdentityProvider | None) -> None:
    """Registers the service to ask about tokens that are not ours. None removes it."""
    global _other
    _other = provider


def other() -> IdentityProvider | None:
    return _other
