"""Names of tokens: what one may be, and one for a token that was given none."""

from __future__ import annotations

import secrets

MAX_LENGTH = 64
# `/keys/tokens/tokenconfig` is a route, and `.` and `..` do not survive in a path.
RESERVED = frozenset({"tokenconfig", ".", ".."})

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


def problem(name: str) -> str:
    """Why a token cannot have that name, or ""."""
    if not 1 <= len(name) <= MAX_LENGTH:
        return f"A token's name has 1 to {MAX_LENGTH} characters."
    if not name.isprintable() or "/" in name or name != name.strip():
        return "A token's name is printable, without slashes, and without spaces around it."
    if name.lower() in RESERVED:
        return f"{name} has another meaning where names of tokens stand."
    return ""


def random_name() -> str:
    """A name that people can read out, such as `quiet-harbor-7f3a`."""
    return f"{_one_of(_QUALITIES)}-{_one_of(_THINGS)}-{secrets.token_hex(3)}"


def _one_of(words: str) -> str:
    return secrets.choice(words.split())
