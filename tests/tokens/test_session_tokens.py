"""Session tokens in requests: their places, their order, and when they are accepted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from kernel import memory
from kernel.db.connections import connect_directly
from tests.support.api.client import APIClient
from tests.support.factories import DAY_NS, HOUR_NS, expire, make_key, make_user
from tokens.models import APIKey
from tokens.services import NewKey
from tokens.token_format import digest, split
from tokens.verification import keys
from tokens.verification.extraction import MAX_SIMILAR
from tokens.verification.keys import Touch, write
from users.models import User

PATH = "/api/v2/deployment/ssh"
pytestmark = pytest.mark.django_db


def ask(token: str) -> Any:
    return APIClient(token=token).get(PATH)


ORDER = ["cookie", "query", "header", "bearer", "access_token"]


@pytest.mark.parametrize("place", ORDER)
def test_first_place_with_a_token_decides(place: str) -> None:
    good = make_key(make_user()).token
    later = ORDER[ORDER.index(place) + 1 :]
    earlier = ORDER[: ORDER.index(place)]

    assert carrying({place: good, **dict.fromkeys(later, "bad")}).status_code == 200
    assert carrying({place: good, **dict.fromkeys(earlier, "")}).status_code == 200
    for other in earlier:
        assert carrying({place: good, other: "bad"}).status_code == 401, other


def test_first_of_two_tokens_decides_and_bearer_is_case_insensitive() -> None:
    token = make_key(make_user()).token
    name = "coder_session_token"
    assert APIClient().get(PATH, {name: [token, "x"]}).status_code == 200

    # Only a few cookies are tried, because this takes the event loop's time before any limit.
    similar = f"x{name}=x;a={name}=x;" * (MAX_SIMILAR // 2)
    for cookies, status in (
        (f"{name}={token}; {name}=x", 200),
        (f"{name}=x; {name}={token}", 401),
        (f"{'; ' * 9000}{name} =x;{name}={token}", 200),
        (f"{similar.removeprefix('x' + name + '=x;')}{name}={token}", 200),
        (f"{similar}{name}={token}", 401),
    ):
        assert APIClient().get(PATH, headers={"Cookie": cookies}).status_code == status, cookies
    assert APIClient().get(PATH, headers={"Authorization": f"bearer {token}"}).status_code == 200


def carrying(tokens: dict[str, str]) -> Any:
    names = {"cookie": "Cookie", "header": "Coder-Session-Token", "bearer": "Authorization"}
    forms = {"cookie": "coder_session_token={}", "header": "{}", "bearer": "Bearer {}"}
    headers = {names[p]: forms[p].format(t) for p, t in tokens.items() if p in names}
    parameters = {"query": "coder_session_token", "access_token": "access_token"}
    query = {parameters[p]: t for p, t in tokens.items() if p in parameters}
    return APIClient().get(PATH, query, headers=headers)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a" * 33,
        "-" * 33,
        "0123456789-",
        "0123456789_0123456789012345678901",
        "0123456789-012345678901234567890\u00e9",
        "0123456789-01234567890123456789012",
        "0123456789-0123456789012345678901\n",
        "0123456789-0123456789012345678901 ",
        "\u0661" * 10 + "-" + "a" * 22,
        "0123456789-\0123456789012345678901"[:33],
        "'; DROP TABLE tokens_apikey; --  ",
        "%00" * 11,
        "z" * 1_000_000,
    ],
)
def test_malformed_token_is_401_in_every_place_without_a_query(
    token: str, django_assert_num_queries: Any
) -> None:
    # WSGI decodes headers as Latin-1.
    sent = token.encode().decode("latin-1")
    with django_assert_num_queries(0):
        answer = APIClient().get(PATH, {"coder_session_token": token})
    headers = ({"Cookie": f"coder_session_token={sent}"}, {"Coder-Session-Token": sent})
    others = [APIClient().get(PATH, headers=one) for one in headers]

    assert [one.status_code for one in (answer, *others)] == [401, 401, 401]
    assert "session has expired" in answer.json()["message"]
    assert "bad format" in answer.json()["detail"]


def test_missing_token_is_401_with_a_challenge() -> None:
    answer = APIClient().get(PATH)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith(
        'Bearer realm="coder", error="invalid_token"'
    )
    assert "session has expired" in answer.json()["message"]


def test_unknown_id_and_wrong_secret_get_the_same_answer() -> None:
    new = make_key(make_user())
    wrong = ask(f"{new.key.id}-{'a' * 22}")
    unknown = ask(f"{'b' * 10}-{'a' * 22}")

    assert (wrong.status_code, wrong.content) == (401, unknown.content)


def test_expired_key_is_401_with_the_time_of_expiry() -> None:
    new = make_key(make_user())
    expire(new)
    new.key.refresh_from_db()

    answer = ask(new.token)

    assert answer.status_code == 401
    assert f"expired at {new.key.expires_at:%Y-%m-%dT%H:%M:%SZ}" in answer.json()["detail"]


def test_dormant_user_is_active_in_the_response_to_the_first_use() -> None:
    user = make_user(status=User.Status.DORMANT)

    answer = APIClient(token=make_key(user).token).get("/api/v2/users/me")

    assert answer.json()["status"] == "active"
    user.refresh_from_db()
    assert user.last_seen_at is not None


def test_only_a_digest_of_the_secret_is_stored() -> None:
    new = make_key(make_user())
    parts = split(new.token)
    assert parts is not None

    stored = APIKey.objects.values().get(pk=parts.key_id)

    assert bytes(stored["hashed_secret"]) == digest(parts.secret)
    assert parts.secret not in str(stored)


def used(new: NewKey, *, since: datetime) -> bool:
    return APIKey.objects.filter(pk=new.key.pk, last_used__gte=since).exists()


def test_use_is_written_once_an_hour_by_the_look_up(django_assert_num_queries: Any) -> None:
    new, begun = make_key(make_user(), used=False), timezone.now()
    with django_assert_num_queries(2):
        assert ask(new.token).status_code == 200
    assert used(new, since=begun)
    new.key.refresh_from_db()
    assert new.key.ip_address == "127.0.0.1"
    touched = timezone.now()
    keys.MEMORY.clear()
    with django_assert_num_queries(1):
        assert ask(new.token).status_code == 200
    assert not used(new, since=touched)

    APIKey.objects.update(last_used=touched - timedelta(minutes=61))
    keys.MEMORY.clear()

    ask(new.token)

    assert used(new, since=touched)


@pytest.mark.django_db(transaction=True)
def test_one_statement_writes_the_use_of_many_keys_and_skips_locked_ones() -> None:
    """Waiting for a locked row could cause a deadlock. Its key is touched at the next use."""
    user, begun = make_user(), timezone.now()
    free, locked = (make_key(user, used=False) for _ in range(2))
    with connect_directly() as other, other.transaction():
        other.execute("SELECT 1 FROM tokens_apikey WHERE id = %s FOR UPDATE", [locked.key.pk])
        ask(locked.token)
        ask(free.token)
        assert used(free, since=begun)
    assert not used(locked, since=begun)

    memory.clear_all()
    ask(locked.token)

    assert used(locked, since=begun)


def test_user_was_last_seen_at_the_newest_use_of_any_key() -> None:
    user, now = make_user(), timezone.now()
    uses = [now - timedelta(seconds=ago) for ago in (2, 1, 3)]
    keys = [make_key(user).key for _ in uses]

    write(
        [
            Touch(key.pk, user.pk, key.expires_at, key.lifetime_ns, key.expires_at, at, "127.0.0.1")
            for key, at in zip(keys, uses, strict=True)
        ]
    )

    user.refresh_from_db()
    assert user.last_seen_at == now - timedelta(seconds=1)


def aged(lifetime_ns: int, remaining: timedelta) -> tuple[APIKey, str]:
    new = make_key(make_user(), lifetime_ns=lifetime_ns)
    new.key.expires_at = timezone.now() + remaining
    new.key.save()
    return new.key, new.token


@pytest.mark.parametrize(
    ("lifetime_ns", "left", "slides"),
    [
        (DAY_NS, timedelta(hours=22, minutes=59), True),
        (DAY_NS, timedelta(hours=23, minutes=1), False),
        (HOUR_NS // 2, timedelta(minutes=10), False),
    ],
    ids=["after an hour", "within the first hour", "lifetime under an hour"],
)
@pytest.mark.parametrize("refresh", [True, False])
def test_expiry_slides_after_an_hour_unless_refresh_is_disabled(
    settings: Any, lifetime_ns: int, left: timedelta, slides: bool, refresh: bool
) -> None:
    settings.DISABLE_SESSION_EXPIRY_REFRESH = not refresh
    key, token = aged(lifetime_ns, left)
    APIKey.objects.update(last_used=None)

    ask(token)

    assert APIKey.objects.exclude(last_used=None).exists()
    before = key.expires_at
    key.refresh_from_db()
    assert (key.expires_at > before) is (slides and refresh)
    assert key.expires_at <= timezone.now() + timedelta(microseconds=lifetime_ns // 1000)


@pytest.mark.parametrize("field", ["expires_at", "lifetime_ns", "status"])
def test_use_changes_no_key_and_no_user_that_another_request_has_changed(field: str) -> None:
    key, token = aged(DAY_NS, timedelta(hours=1))
    now = timezone.now()
    read, later = key.expires_at, now + timedelta(days=1)
    if field == "status":
        User.objects.update(status=User.Status.SUSPENDED)
    else:
        APIKey.objects.update(**{field: {"expires_at": now, "lifetime_ns": HOUR_NS}[field]})
    before = APIKey.objects.values().get(), User.objects.values().get()

    write([Touch(key.pk, key.user_id, read, DAY_NS, later, now, "127.0.0.1")])

    after = APIKey.objects.values().get(), User.objects.values().get()
    unchanged = 1 if field == "status" else 0
    assert after[unchanged] == before[unchanged]
    assert (ask(token).status_code == 200) is (field == "lifetime_ns")
