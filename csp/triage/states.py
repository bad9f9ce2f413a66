"""The states of a violation group.

Only an operator changes the stored state. New reports never write it. Two changes are computed when
a group is read:

* A resolved group has regressed if it has a newer report.
* An ignored group is new again when its date has passed, or when it reaches its limit of clients.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Case, F, Q, Value, When

from csp.models import State

# The only state that is never stored.
REGRESSED = "regressed"
CURRENT_STATES = (*State.values, REGRESSED)
# The states that need an operator's attention.
OPEN = (State.NEW.value, REGRESSED)


def current_state(now: datetime) -> Case:
    """Returns the SQL expression of a group's state at that time."""
    is_over = Q(ignored_until__lte=now) | Q(ignored_reach__lte=F("client_days"))
    return Case(
        When(Q(state=State.RESOLVED, last_seen__gt=F("state_at")), then=Value(REGRESSED)),
        When(Q(state=State.IGNORED) & is_over, then=Value(State.NEW.value)),
        default=F("state"),
        output_field=models.CharField(),
    )
