"""The states of workspaces, computed from their newest build and its provisioner job."""

from __future__ import annotations

from django.db.models import Q

_STARTED, _CANCELED, _COMPLETED = (
    Q(**{f"job_{event}_at__isnull": False}) for event in ("started", "canceled", "completed")
)
_SUCCEEDED = _COMPLETED & ~_CANCELED & Q(error="")
# The states that snapshots count, for workspaces that are not deleted. Coder counts a job that was
# canceled with an error before it started as pending and as failed.
STATES = {
    "pending": ~_STARTED,
    "building": _STARTED & ~_CANCELED & ~_COMPLETED,
    "running": Q(transition="start") & _SUCCEEDED,
    "failed": ~Q(error="") & (_CANCELED | _COMPLETED),
    "stopped": Q(transition="stop") & _SUCCEEDED,
}
# The first true condition determines the state of a workspace in the admin.
WORDS = {
    "deleted": Q(is_deleted=True) | Q(transition="delete") & _SUCCEEDED,
    "failed": STATES["failed"],
    "pending": STATES["pending"],
    "building": STATES["building"],
    "canceled": _CANCELED,
    "running": STATES["running"],
    "stopped": STATES["stopped"],
}


def state_after(transition: str, *, has_error: bool, is_canceled: bool) -> str:
    """Returns the one of STATES that a workspace has after an ended job, or ""."""
    if has_error:
        return "failed"
    return "" if is_canceled else {"start": "running", "stop": "stopped"}.get(transition, "")
