"""Session tokens as text: `<id>-<secret>`, 10 and 22 letters and digits."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass

ID_LENGTH = 10
SECRET_LENGTH = 22
_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(rf"([A-Za-z0-9]{{{ID_LENGTH}}})-([A-Za-z0-9]{{{SECRET_LENGTH}}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenParts:
    key_id: str
    secret: str

    @property
    def token(self) -> str:
        return f"{self.key_id}-{self.secret}"


def generate() -> TokenParts:
    """A new token from the system's random source."""
    return TokenParts(_random(ID_LENGTH), _random(SECRET_LENGTH))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def split(token: str) -> TokenParts | None:
    """The token's two parts, or None for text of another form. Bounded by the form's own length."""
    if len(token) != ID_LENGTH + 1 + SECRET_LENGTH:
        return None
    found = _FORM.fullmatch(token)
    return TokenParts(*found.groups()) if found else None


def digest(secret: str) -> bytes:
    """What is stored of a secret: SHA-256, 32 raw bytes. The secret has 131 bits, so no salt."""
    return hashlib.sha256(secret.encode()).digest()
