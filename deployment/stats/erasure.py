"""What the stats hold of a person: whose workspaces the raw agent rows came from."""

from __future__ import annotations

import uuid

from deployment.stats.models import AgentStat
from users.erasure import Part
from users.models import User

NOBODY = uuid.UUID(int=0)


def count_rows(user: User) -> int:
    return AgentStat.objects.filter(user_id=user.pk).count()


def forget_rows(user: User) -> None:
    AgentStat.objects.filter(user_id=user.pk).update(user_id=NOBODY)


AGENT_ROWS = Part(
    what="agent rows",
    fate="anonymised: the figures stay, the user's id goes",
    count=count_rows,
    erase=forget_rows,
)
