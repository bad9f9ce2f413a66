"""Session tokens in requests: their places, their order, and when they are accepted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support.client import APIClient
from tests.support.factories import DAY_NS, HOUR_NS, expire, make_key, make_user
from tokens.models import APIKey
from tokens.token_format import digest, split
from tokens.verification import touch_api_key
from users.models import User

PATH = "/api/v2/deployment/ssh"
pytestmark = pytest.mark.django_db


def challenge(answer: Any) -> str:
    return str(answer.headers["WWW-Authenticate"])


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


def test_first_of_two_cookies_decides_and_bearer_is_case_insensitive() -> None:
    token = make_key(make_user()).token
    name = "coder_session_token"

    for cookies, status in ((f"{name}={token}; {name}=x", 200), (f"{name}=x; {name}={token}", 401)):
        assert APIClient().get(PATH, headers={"Cookie": cookies}).status_code == status
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
    assert challenge(answer).startswith('Bearer realm="coder", error="invalid_token"')
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


def test_suspended_user_is_401_with_another_message_than_expired() -> None:
    user = make_user(status=User.Status.SUSPENDED)

    answer = ask(make_key(user).token)

    assert answer.status_code == 401
    assert answer.json()["message"] == "User is not active."


def test_dormant_user_becomes_active_with_the_first_use() -> None:
    user = make_user(status=User.Status.DORMANT)

    assert ask(make_key(user).token).status_code == 200
    user.refresh_from_db()
    assert user.status == User.Status.ACTIVE
    assert user.last_seen_at is not None


def test_only_a_digest_of_the_secret_is_stored() -> None:
    new = make_key(make_user())
    parts = split(new.token)
    assert parts is not None

    stored = APIKey.objects.values().get(pk=parts.key_id)

    assert bytes(stored["hashed_secret"]) == digest(parts.secret)
    assert parts.secret not in str(stored)


def test_use_is_written_once_an_hour(
    django_assert_num_queries: Any,
) -> None:
    new = make_key(make_user(), used=False)
    client = APIClient(token=new.token)
    assert client.get(PATH).status_code == 200
    new.key.refresh_from_db()
    first = new.key.last_used
    assert first is not None
    assert new.key.ip_address == "127.0.0.1"

    with django_assert_num_queries(1):
        client.get(PATH)

    new.key.refresh_from_db()
    assert new.key.last_used == first


def test_use_is_written_again_after_an_hour() -> None:
    new = make_key(make_user())
    APIKey.objects.update(last_used=timezone.now() - timedelta(minutes=61))

    ask(new.token)

    new.key.refresh_from_db()
    assert new.key.last_used is not None
    assert timezone.now() - new.key.last_used < timedelta(minutes=1)


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

    before = key.expires_at
    key.refresh_from_db()
    assert (key.expires_at > before) is (slides and refresh)
    assert key.expires_at <= timezone.now() + timedelta(microseconds=lifetime_ns // 1000)
    assert key.last_used is not None


def test_use_does_not_extend_a_key_that_expired_meanwhile() -> None:
    key, token = aged(DAY_NS, timedelta(hours=1))
    now = timezone.now()
    APIKey.objects.filter(pk=key.pk).update(expires_at=now)

    touch_api_key(key, now=now, address="")

    key.refresh_from_db()
    assert key.expires_at == now
    assert ask(token).status_code == 401
