"""Many tokens."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tests.support.factories import DAY_NS
from tokens.models import APIKey
from users.models import User

TOKENS = "/api/v2/users/me/keys/tokens"
LONG_LIST = """
INSERT INTO tokens_apikey (id, hashed_secret, user_id, token_name, login_type, is_minted, scopes,
    allow_list, lifetime_ns, expires_at, created_at, updated_at)
SELECT lpad(number::text, 10, '0'), 'x', id, 't' || number, 'token', true, '{coder:all}',
    '[{"type": "*", "id": "*"}]', 1, now() + interval '1 day', now(), now()
FROM users_user, generate_series(1, 60000) AS number WHERE username = 'owner'
"""


def make_tokens(user: User, count: int) -> None:
    """Creates two tokens for each moment, so that pages end between tokens of one moment."""
    now = timezone.now()
    APIKey.objects.bulk_create(
        APIKey(
            id=f"{number:010}",
            hashed_secret=b"x" * 32,
            user=user,
            token_name=f"t{number}",
            login_type="token",
            is_minted=True,
            scopes=["coder:all"],
            allow_list=[{"type": "*", "id": "*"}],
            lifetime_ns=DAY_NS,
            created_at=now - timedelta(seconds=number // 2),
            expires_at=now + timedelta(days=1),
        )
        for number in range(count)
    )
