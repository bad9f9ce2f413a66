"""The states of a violation group.

Only an operator changes the stored state. New reports never write it. Two changes are computed when
a group is read:

* A resolved group has regressed if it has a newer report.
* An ignored group is new again when its date has passed, or when it reaches its limit of clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import models
from django.db.models import Case, F, Q, Value, When

from csp.models import State

# The only state that is never stored.
REGRESSED = "regressed"
CURRENT_STATES = (*State.values, REGRESSED)
# The states that need an operator's attention.
OPEN = (State.NEW.value, REGRESSED)
# The states that an operator can choose, by current state. Ignoring again changes the limits.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "new": frozenset({"acknowledged", "ignored", "resolved"}),
    "acknowledged": frozenset({"new", "ignored", "resolved"}),
    "ignored": frozenset({"new", "acknowledged", "ignored", "resolved"}),
    "resolved": frozenset({"new", "acknowledged", "ignored"}),
    "regressed": frozenset({"new", "acknowledged", "ignored", "resolved"}),
}


def check(current: str, wanted: str) -> None:
    """Raises: ValueError if a group in the state `current` cannot change to `wanted`."""
    if wanted not in State.values:
        raise ValueError(f"Must be one of {', '.join(State.values)}, not {wanted[:32]!r}.")
    if wanted not in TRANSITIONS[current]:
        raise ValueError(f"The group is {current} already.")


def current_state(now: datetime) -> Case:
    """Returns the SQL expression of a group's state at that time."""
    is_over = Q(ignored_until__lte=now) | Q(ignored_reach__lte=F("client_days"))
    return Case(
        When(Q(state=State.RESOLVED, last_seen__gt=F("state_at")), then=Value(REGRESSED)),
        When(Q(state=State.IGNORED) & is_over, then=Value(State.NEW.value)),
        default=F("state"),
        output_field=models.CharField(),
    )
