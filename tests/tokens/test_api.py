"""Creating, listing, reading, expiring and deleting tokens."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from tests.support.api.client import APIClient
from tests.support.api.sending import send, validation_fields
from tests.support.concurrency import at_once
from tests.support.factories import DAY_NS, HOUR_NS, expire, make_key, make_user
from tokens.models import APIKey

pytestmark = pytest.mark.django_db
TOKENS = "/users/me/keys/tokens"
DEFAULT_NS = 168 * HOUR_NS
LIMIT_NS = 3_155_760_000_000_000_000


def create(client: APIClient, **body: Any) -> Any:
    return send(client, "POST", TOKENS, body)


def created(answer: Any) -> APIKey:
    assert answer.status_code == 201, answer.content
    return APIKey.objects.get(pk=answer.json()["key"].partition("-")[0])


def test_token_is_shown_once_and_accepted(member: APIClient) -> None:
    answer = create(member, token_name="ci")

    token = answer.json()["key"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert APIClient(token=token).get("/api/v2/users/me").status_code == 200
    assert token.partition("-")[2] not in str(list(Entry.objects.values()))
    shown = member.get(f"/api/v2{TOKENS}/ci").json()
    assert list(shown) == [
        "id", "user_id", "last_used", "expires_at", "created_at", "updated_at", "login_type",
        "scope", "scopes", "token_name", "lifetime_seconds", "allow_list",
    ]  # fmt: skip
    assert (shown["scope"], shown["scopes"]) == ("all", ["coder:all"])
    assert shown["allow_list"] == [{"type": "*", "id": "*"}]
    assert shown["lifetime_seconds"] == 168 * 3600
    coderd = member.get(f"/api/v2{TOKENS}/ci", headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert coderd["allow_list"] == ["*:*"]


def test_only_a_token_gets_a_readable_name(member: APIClient) -> None:
    name = created(create(member)).token_name

    assert name.count("-") == 2
    assert member.get(f"/api/v2{TOKENS}/{name}").status_code == 200
    key = created(send(member, "POST", "/users/me/keys"))
    assert (key.lifetime_ns, key.login_type, key.token_name) == (DEFAULT_NS, "password", "")


@pytest.mark.parametrize(
    ("lifetime", "stored"),
    [(0, DEFAULT_NS), (None, DEFAULT_NS), (10**9, 10**9), (HOUR_NS, HOUR_NS), (LIMIT_NS, LIMIT_NS)],
)
def test_lifetime_within_the_limit_is_stored_to_the_nanosecond(
    lifetime: int | None, stored: int, member: APIClient
) -> None:
    assert created(create(member, lifetime=lifetime)).lifetime_ns == stored


IN_NS = "lifetime is in nanoseconds"


ODD_LIFETIMES: list[Any] = [-1, 2**63, 2**64, -(2**63), 1.5, 1e30, "24h", "5", True, [], {}]


@pytest.mark.parametrize(
    ("lifetime", "detail"),
    [
        *((each, "") for each in ODD_LIFETIMES),
        (LIMIT_NS + 1, "lifetime must be at most 100 years"),
        (86400, f"{IN_NS}; 86400 ns is less than a second. One day is 864"),
        (10**9 - 1, f"{IN_NS}; 999999999 ns is less than a second."),
        (-5, f"{IN_NS}; -5 ns is less than a second."),
        ("7d", f"{IN_NS}, not '7d'. One day is 86400000000000."),
        (0.5, f"{IN_NS}, not '0.5'. One day is 86400000000000."),
    ],
)
def test_invalid_lifetime_is_400_with_a_hint(lifetime: Any, detail: str, member: APIClient) -> None:
    answer = create(member, lifetime=lifetime)

    assert (answer.status_code, validation_fields(answer)) == (400, ["lifetime"])
    assert answer.json()["validations"][0]["detail"].startswith(detail)


INVALID: list[dict[str, Any]] = [
    {"token_name": "a/b"},
    {"token_name": "x" * 300},
    {"token_name": "tokenconfig"},
    {"token_name": ".."},
    {"token_name": "tab\t"},
    {"token_name": " x"},
    {"token_name": "nul\0"},
    {"scope": "fly"},
    {"scope": "fly", "scopes": ["coder:all"]},
    {"scopes": ["workspace:fly"]},
    {"allow_list": ["x"]},
    {"allow_list": ["spaceship:*"]},
    {"allow_list": ["user:x"]},
    {"allow_list": [{"type": "user"}]},
    {"allow_list": [5]},
    {"allow_list": [None]},
    {"allow_list": [["a"]]},
]


@pytest.mark.parametrize("body", INVALID)
def test_error_names_the_invalid_member(body: dict[str, Any], member: APIClient) -> None:
    answer = create(member, **body)

    assert answer.status_code == 400
    [field] = validation_fields(answer)
    assert field.partition("[")[0].partition(".")[0] == next(iter(body))


@pytest.mark.django_db(transaction=True)
def test_used_name_is_409_for_the_same_user_only(member: APIClient, owner: APIClient) -> None:
    assert create(member, token_name="ci").status_code == 201
    again = create(member, token_name="ci")

    assert (again.status_code, validation_fields(again)) == (409, ["name"])
    assert create(member, token_name="CI").status_code == 201
    assert create(owner, token_name="ci").status_code == 201


@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        ({"scope": "all"}, ["coder:all"]),
        ({"scope": "application_connect"}, ["coder:application_connect"]),
        ({"scopes": ["user:read", "user:read", "api_key:*"]}, ["user:read", "api_key:*"]),
        ({"scope": "all", "scopes": ["user:read"]}, ["user:read"]),
    ],
)
def test_scopes_are_stored_and_shown(
    body: dict[str, Any], scopes: list[str], member: APIClient
) -> None:
    key = created(create(member, token_name="t", **body))

    assert key.scopes == scopes
    assert member.get(f"/api/v2{TOKENS}/t").json()["scopes"] == scopes


def test_key_cannot_create_a_key_with_more_rights(db: None) -> None:
    user = make_user()
    narrow = APIClient(token=make_key(user, scopes=["api_key:*", "user:read"]).token)
    allowed = (("user", str(user.id)), ("api_key", "*"))
    listed = APIClient(token=make_key(user, allow_list=allowed).token)

    assert create(narrow).status_code == 403
    assert create(narrow, scopes=["user:read", "api_key:read"]).status_code == 201
    assert create(listed).status_code == 403
    assert create(listed, allow_list=["api_key:*"]).status_code == 201


def test_allow_list_is_enforced(db: None) -> None:
    user, other = make_user("owner"), make_user()
    own = make_key(user, token_name="own").key
    allowed = (("user", str(other.id)), ("api_key", own.id))
    client = APIClient(user=user, token=make_key(user, allow_list=allowed).token)

    statuses = {
        path: client.get(f"/api/v2{path}").status_code
        for path in (
            f"/users/{other.username}",
            "/users/me",
            f"/users/me/keys/{own.id}",
            f"/users/me/keys/{make_key(user).key.id}",
            "/deployment/config",
        )
    }

    assert list(statuses.values()) == [200, 404, 200, 404, 403]
    assert client.get("/api/v2/users").json()["count"] == 1
    assert [key["id"] for key in client.get(f"/api/v2{TOKENS}").json()] == [own.id]


def listed(client: APIClient, path: str = TOKENS, **headers: str) -> Any:
    return client.get(f"/api/v2{path}", headers=headers).json()


def test_list_has_live_tokens_and_no_sessions(
    member: APIClient, django_assert_num_queries: Any
) -> None:
    assert listed(member) == []
    assert listed(member, **{"Coderapi-Wire-Format": "coderd"}) is None
    live = {created(create(member)).id for _ in range(3)}
    expire(make_key(member.user, token_name="expired", login_type="token"))
    with django_assert_num_queries(3):  # the key, the user, the tokens
        found = listed(member)
    name = member.user.username
    assert sorted((t["id"], t["username"]) for t in found) == sorted((id, name) for id in live)
    both = listed(member, f"{TOKENS}?include_expired=true")
    assert len(both) == 4
    assert "expired" in {t["token_name"] for t in both}


def test_only_owners_list_the_tokens_of_others(
    owner: APIClient, auditor: APIClient, member: APIClient
) -> None:
    for client in (owner, auditor, member):
        create(client)
    theirs = f"/users/{member.user.username}/keys/tokens"

    assert len(listed(owner, f"{TOKENS}?include_all=true")) == 3
    assert len(listed(auditor, f"{TOKENS}?include_all=true")) == 1
    assert len(listed(owner, theirs)) == 1
    assert listed(auditor, theirs) == []
    assert owner.get(f"/api/v2{TOKENS}?include_all=maybe").status_code == 400


def test_expired_key_is_rejected_and_stays_in_the_database(member: APIClient) -> None:
    token = create(member, token_name="t").json()["key"]
    path = f"/users/me/keys/{token[:10]}"

    assert send(member, "PUT", f"{path}/expire").status_code == 204
    assert send(member, "PUT", f"{path}/expire").status_code == 204

    assert "expired" in APIClient(token=token).get("/api/v2/users/me").json()["detail"]
    assert member.get(f"/api/v2{path}").status_code == 200
    assert Entry.objects.filter(action="api_key.expire").count() == 1


def test_key_in_use_can_be_deleted(member: APIClient) -> None:
    path = f"/users/me/keys/{member.token[:10]}"

    assert send(member, "DELETE", path).status_code == 204
    assert send(member, "DELETE", path).status_code == 401
    assert Entry.objects.filter(action="api_key.delete").count() == 1


@pytest.mark.parametrize("key_id", ["0123456789", "a%00b", "x" * 300, "%F0%9F%A6%84", "%25"])
def test_unknown_key_is_404(key_id: str, member: APIClient) -> None:
    assert member.get(f"/api/v2/users/me/keys/{key_id}").status_code == 404
    assert member.get(f"/api/v2{TOKENS}/{key_id}").status_code == 404


@pytest.mark.parametrize(
    ("lifetime", "left", "warned"), [(8, 6, True), (8, 8, False), (7, 7, False), (7, 1, False)]
)
def test_last_week_of_a_longer_lifetime_has_an_expiry_header(
    lifetime: int, left: int, warned: bool, settings: Any
) -> None:
    settings.DISABLE_SESSION_EXPIRY_REFRESH = True
    new = make_key(make_user(), lifetime_ns=lifetime * DAY_NS)
    APIKey.objects.update(expires_at=timezone.now() + timedelta(days=left))
    client = APIClient(token=new.token)

    answer = client.get("/api/v2/experiments")

    assert answer.has_header("Coderapi-Key-Expires") == warned
    assert not warned or answer.headers["Coderapi-Key-Expires"].endswith("GMT")


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_create_one_token_with_a_name() -> None:
    client = APIClient(token=make_key(make_user()).token)
    assert client.get("/api/v2/users/me").status_code == 200

    answers = at_once(4 * [partial(create, client, token_name="same")])

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
