from __future__ import annotations
import time
from datetime import timedelta
import pytest
from django.utils import timezone
from django.db import connection
from django.test.utils import CaptureQueriesContext
from audit.services import SYSTEM
from tests.factories import make_user, DAY_NS
from tokens.models import APIKey, TokenConfig
from tokens import secrets, services, breaking

@pytest.mark.django_db
def test_perf():
    u = make_user()
    now = timezone.now()
    APIKey.objects.bulk_create([APIKey(id=secrets.generate().key_id, hashed_secret=b"x"*32, user=u, token_name=f"t{i}", login_type="token", lifetime_ns=DAY_NS, expires_at=now+timedelta(days=1), created_at=now) for i in range(10000)])
    t=time.perf_counter(); n=len(breaking.broken_by(TokenConfig(max_token_lifetime=1), now=now)); print("BROKEN", n, time.perf_counter()-t)
    with CaptureQueriesContext(connection) as c:
        t=time.perf_counter(); n=services.shorten_keys(APIKey.objects.all(), lifetime_ns=DAY_NS//2, actor=SYSTEM, now=now); print("SHORTEN", n, time.perf_counter()-t, len(c))
    with CaptureQueriesContext(connection) as c:
        t=time.perf_counter(); n=services.expire_keys(APIKey.objects.all(), actor=SYSTEM, now=now); print("EXPIRE", n, time.perf_counter()-t, len(c))
    with CaptureQueriesContext(connection) as c:
        t=time.perf_counter(); n=services.delete_keys(APIKey.objects.all(), actor=SYSTEM, now=now); print("DELETE", n, time.perf_counter()-t, len(c))
