from __future__ import annotations

from typing import Any

import pytest

from tests.support.client import APIClient
from tests.support.factories import DAY_NS, HOUR_NS, make_key, make_user
from tokens.models import TokenConfig
from users.models import User

DEFAULT_NS = 3_155_760_000_000_000_000
OWNER_NS = 168 * HOUR_NS


def tokenconfig(client: APIClient, user: object = "me") -> Any:
    return client.get(f"/api/v2/users/{user}/keys/tokens/tokenconfig")


def test_limit_is_the_option_to_the_nanosecond(member: APIClient) -> None:
    assert tokenconfig(member).json() == {"max_token_lifetime": DEFAULT_NS}


def test_owners_have_an_option_of_their_own(owner: APIClient) -> None:
    assert tokenconfig(owner).json() == {"max_token_lifetime": OWNER_NS}


@pytest.mark.parametrize("by", ["id", "username", "upper"])
def test_user_is_found_by_id_and_name_in_any_case(owner: APIClient, by: str) -> None:
    other = make_user()
    name = {"id": other.id, "username": other.username, "upper": other.username.upper()}[by]

    assert tokenconfig(owner, name).json() == {"max_token_lifetime": DEFAULT_NS}


def test_limit_belongs_to_the_user_in_the_path(owner: APIClient) -> None:
    other = make_user()
    TokenConfig.objects.create(user=other, max_token_lifetime=7)

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
    fields: dict[str, Any] = {"user": {"user": user}, "deployment": {}}.get(
        subject, {"role": subject}
    )
    TokenConfig.objects.create(max_token_lifetime=lifetime, **fields)


def test_unreadable_user_gets_the_answer_for_an_unknown_one(member: APIClient) -> None:
    other = make_user()

    assert tokenconfig(member, other.id).content == tokenconfig(member, "nobody").content


def test_tokenconfig_takes_three_queries(member: APIClient, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):  # the key with its user, the user, the configs
        assert tokenconfig(member).status_code == 200
