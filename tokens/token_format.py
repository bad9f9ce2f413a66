"""The format of session tokens, `<id>-<secret>` with 10 and 22 characters, and of their names."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

from django.utils.crypto import get_random_string

ID_LENGTH = 10
SECRET_LENGTH = 22
_FORM = re.compile(rf"([A-Za-z0-9]{{{ID_LENGTH}}})-([A-Za-z0-9]{{{SECRET_LENGTH}}})", re.ASCII)

MAX_NAME_LENGTH = 64
# A name is part of a path. `/keys/tokens/tokenconfig` is another route, and clients remove `.` and
# `..` from paths.
RESERVED_NAMES = frozenset({"tokenconfig", ".", ".."})
_QUALITIES = """
amber brisk calm civil clever crisp deft eager early fair fleet frank gentle glad golden hardy jolly
keen kind lively lucid mellow merry mild neat nimble noble patient plain prompt proud quick quiet
rapid ready royal sage sharp silver smooth snug sober solid spry steady sunny swift tidy vivid warm
witty young
"""
_THINGS = """
anchor badger basin beacon birch bridge brook canyon cedar cliff comet coral cove crane delta dune
ember falcon fern fjord forge garden glade grove harbor hawk heron hollow island ivy jasper kestrel
lagoon lantern larch ledge lynx maple marsh meadow mesa orchard otter pebble pine plover prairie
quarry raven reef ridge river sparrow spruce summit tern thicket tide valley walnut willow wren
"""


class TokenParts(NamedTuple):
    key_id: str
    secret: str

    @property
    def token(self) -> str:
        return f"{self.key_id}-{self.secret}"


def generate() -> TokenParts:
    """Generates a session token from the system's random source."""
    return TokenParts(get_random_string(ID_LENGTH), get_random_string(SECRET_LENGTH))


def split(token: str) -> TokenParts | None:
    """Splits a session token in its two parts. Returns None if the format is invalid."""
    found = _FORM.fullmatch(token)
    return TokenParts(*found.groups()) if found else None


def digest(secret: str) -> bytes:
    """Returns the SHA-256 digest of a secret, 32 bytes.

    A salt is not needed, because the secret has 131 random bits.
    """
    return hashlib.sha256(secret.encode()).digest()


def name_problem(name: str) -> str:
    """Returns the error message for an invalid token name, or "" for a valid name."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        return f"The name must have 1 to {MAX_NAME_LENGTH} characters."
    if not name.isprintable() or "/" in name or name != name.strip():
        return "The name must not contain slashes, invisible characters, or spaces at the ends."
    if name.lower() in RESERVED_NAMES:
        return f"You cannot use the name {name}: it is reserved."
    return ""


def random_name() -> str:
    """Generates a readable name, such as `quiet-harbor-7f3a1c`."""
    quality, thing = secrets.choice(_QUALITIES.split()), secrets.choice(_THINGS.split())
    return f"{quality}-{thing}-{secrets.token_hex(3)}"
