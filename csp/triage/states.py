"""The states of a violation group.

Only an operator changes the stored state. New reports never write it. Two changes are computed when
a group is read:

* A resolved group has regressed if it has a newer report.
* An ignored group is new again when its date has passed, or when it has had the given number of
  client days since it was ignored.
"""

from __future__ import annotations

from datetime import datetime
from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Case, F, Q, Value, When

from csp.models import State

# The only state that is never stored.
REGRESSED = "regressed"
CURRENT_STATES = (*State.values, REGRESSED)
# The states that need an operator's attention.
OPEN = (State.NEW.value, REGRESSED)
# The stored states in which an operator has accepted the entry of the advice.
ACCEPTED = (State.ACKNOWLEDGED.value, State.RESOLVED.value)


def current_state(now: datetime) -> Case:
    """Returns the SQL expression of a group's state at that time."""
    return Case(
        When(_HAS_REGRESSED, then=Value(REGRESSED)),
        When(_is_new_again(now), then=Value(State.NEW.value)),
        default=F("state"),
        output_field=models.CharField(),
    )


def in_state(now: datetime, *states: str) -> Q:
    """Returns the condition that a group has one of these states at that time.

    PostgreSQL can estimate how many groups meet it, unlike a comparison with `current_state`. So it
    reads a page of groups in the order of an index, and does not sort all groups.
    """
    stored = {
        State.NEW: Q(state=State.NEW) | _is_new_again(now),
        State.IGNORED: Q(state=State.IGNORED) & ~_is_new_again(now),
        State.RESOLVED: Q(state=State.RESOLVED) & ~_HAS_REGRESSED,
        REGRESSED: _HAS_REGRESSED,
    }
    return reduce(or_, (stored.get(state, Q(state=state)) for state in states))


_HAS_REGRESSED = Q(state=State.RESOLVED, last_seen__gt=F("state_set_at"))


def _is_new_again(now: datetime) -> Q:
    is_over = Q(ignored_until__lte=now) | Q(
        ignored_client_days__lte=F("client_days_since_state_set")
    )
    return Q(state=State.IGNORED) & is_over
