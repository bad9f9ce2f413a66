"""Who is asking, and how far the key in hand narrows what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kernel.http.identity import Identity
from users.allow_lists import EVERYTHING, AllowList


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity(Identity):
    """An identity with all that its key says; a `minted` key was not made by signing in."""

    allow_list: AllowList = EVERYTHING
    expires_at: datetime
    minted: bool = False
