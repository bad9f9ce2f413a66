from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.api.client import APIClient
from tests.support.factories import DAY_NS, HOUR_NS, make_key, make_user
from tests.support.processes import wait_for
from tokens.models import TokenConfig
from users.models import User

DEFAULT_NS = 3_155_760_000_000_000_000
OWNER_NS = 168 * HOUR_NS


def tokenconfig(client: APIClient, user: object = "me") -> Any:
    return client.get(f"/api/v2/users/{user}/keys/tokens/tokenconfig")


def test_limit_is_the_option_for_the_user_in_the_path(owner: APIClient) -> None:
    assert tokenconfig(owner).json() == {"max_token_lifetime": OWNER_NS}
    other = make_user()
    for name in (other.id, other.username, other.username.upper()):
        assert tokenconfig(owner, name).json() == {"max_token_lifetime": DEFAULT_NS}
    TokenConfig.objects.create(user=other, max_lifetime_ns=7)

    assert tokenconfig(owner, other.username).json() == {"max_token_lifetime": 7}
    assert tokenconfig(owner).json() == {"max_token_lifetime": OWNER_NS}


CONFIGS: list[tuple[dict[str, int], int]] = [
    ({}, OWNER_NS),
    ({"deployment": 30 * DAY_NS}, 30 * DAY_NS),
    ({"deployment": 30 * DAY_NS, "owner": 40 * DAY_NS}, 40 * DAY_NS),
    ({"owner": 40 * DAY_NS, "auditor": 20 * DAY_NS}, 20 * DAY_NS),
    ({"owner": 40 * DAY_NS, "user-admin": 5}, 40 * DAY_NS),
    ({"deployment": 1, "owner": 2, "user": 3}, 3),
]


@pytest.mark.parametrize(("configs", "limit"), CONFIGS)
def test_user_overrides_strictest_role_overrides_deployment_overrides_option(
    db: None, configs: dict[str, int], limit: int
) -> None:
    user = make_user("owner", "auditor")
    for subject, lifetime in configs.items():
        make_config(subject, user, lifetime)

    client = APIClient(token=make_key(user).token)

    assert tokenconfig(client).json() == {"max_token_lifetime": limit}


def make_config(subject: str, user: User, lifetime: int) -> None:
    of: dict[str, dict[str, Any]] = {"user": {"user": user}, "deployment": {}}
    fields = of.get(subject, {"role": subject})
    TokenConfig.objects.create(max_lifetime_ns=lifetime, **fields)


def test_unreadable_user_gets_the_answer_for_an_unknown_one(member: APIClient) -> None:
    other = make_user()

    assert tokenconfig(member, other.id).content == tokenconfig(member, "nobody").content


def test_users_find_the_same_document_by_me_and_by_name(member: APIClient) -> None:
    own, named = tokenconfig(member), tokenconfig(member, member.user.username)

    assert (own.content, own.headers["ETag"]) == (named.content, named.headers["ETag"])
    for path in ("me", member.user.id):
        path = f"/api/v2/users/{path}/keys/tokens/tokenconfig"
        known = member.get(path, headers={"If-None-Match": own.headers["ETag"]})
        assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("user", ["me", "name"])
@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({}, 200),
        ({"scopes": ["api_key:read"]}, 200),
        ({"scopes": ["deployment_stats:read"]}, 404),
        ({"allow_list": (("user", str(uuid.uuid4())),)}, 404),
        ({"allow_list": (("api_key", "*"),)}, 200),
    ],
)
def test_key_needs_a_scope_and_an_object_of_its_allow_list(
    db: None, user: str, limits: dict[str, Any], status: int
) -> None:
    person = make_user()
    client = APIClient(token=make_key(person, **limits).token)

    answer = tokenconfig(client, {"me": "me", "name": person.username}[user])

    assert answer.status_code == status


@pytest.mark.parametrize(("user", "queries"), [("me", 2), ("name", 3)])
def test_tokenconfig_takes_a_query_for_each_thing(
    member: APIClient, user: str, queries: int, django_assert_num_queries: Any
) -> None:
    name = {"me": "me", "name": member.user.username}[user]
    with django_assert_num_queries(queries):  # the key with its user, the user, the configs
        assert tokenconfig(member, name).status_code == 200


CHANGES: dict[str, tuple[Callable[[User], object], int]] = {
    "new for the deployment": (lambda user: TokenConfig.objects.create(max_lifetime_ns=1), 1),
    "new for the role": (lambda user: make_config("auditor", user, 2), 2),
    "new for the user": (lambda user: make_config("user", user, 3), 3),
    "changed": (lambda user: TokenConfig.objects.update(max_lifetime_ns=4), 4),
    "for another role": (lambda user: TokenConfig.objects.update(role="owner"), DEFAULT_NS),
    "deleted": (lambda user: TokenConfig.objects.all().delete(), DEFAULT_NS),
    "roles": (lambda user: User.objects.update(roles=["owner"]), OWNER_NS),
}


def test_cached_limit_takes_no_query_until_a_policy_or_a_role_changes(connected: None) -> None:
    def takes_no_query() -> bool:
        with CaptureQueriesContext(connection) as found:
            tokenconfig(client)
        return not found.captured_queries

    def has_limit(limit: int) -> bool:
        return bool(tokenconfig(client).json() == {"max_token_lifetime": limit})

    for name, (change, limit) in CHANGES.items():
        TokenConfig.objects.all().delete()
        user = make_user("auditor")
        if name in {"changed", "for another role", "deleted"}:
            make_config("auditor", user, 7)
        client = APIClient(token=make_key(user).token)
        # A late notification of a config may evict the document once more.
        wait_for(takes_no_query)

        change(user)

        wait_for(partial(has_limit, limit))


def test_users_have_documents_of_their_own(connected: None) -> None:
    one, other = make_user(), make_user()
    TokenConfig.objects.create(user=one, max_lifetime_ns=7)
    clients = [APIClient(token=make_key(user).token) for user in (one, other)]

    for _ in range(2):
        limits = [tokenconfig(client).json()["max_token_lifetime"] for client in clients]
        assert limits == [7, DEFAULT_NS]
