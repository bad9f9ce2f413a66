from __future__ import annotations

from datetime import datetime

from django.db.models import Count
from django.urls import reverse

from kernel.admin_cards import Line, register
from users.models import User


def _lines(now: datetime) -> list[Line]:
    counts = dict(User.objects.order_by().values_list("status").annotate(n=Count("*")))
    url = reverse("admin:users_user_changelist")
    return [
        Line(str(status.label).lower(), str(counts.get(status, 0)), link=f"{url}?status={status}")
        for status in User.Status
    ]


register("Users", _lines, order=60)
