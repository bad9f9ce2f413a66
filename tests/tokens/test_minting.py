"""Minting: its statements, and what happens at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from audit.models import PARTITIONS, Entry
from kernel.db.connections import connect_directly
from tests.support.api.client import APIClient, browser_of
from tests.support.api.sending import send
from tests.support.concurrency import closing, waiting_for_locks
from tests.support.factories import make_key, make_user
from tests.support.processes import wait_for
from tokens.models import APIKey, TokenConfig

pytestmark = pytest.mark.django_db(transaction=True)
LOCK_POLICIES = "BEGIN; UPDATE tokens_policyversion SET version = version + 1"
INSERT_POLICY = """
INSERT INTO tokens_tokenconfig (role, tokens_may_create_tokens, max_live_tokens, updated_at)
VALUES ('', true, 0, now())
"""


@pytest.fixture
def client() -> APIClient:
    user = make_user()
    return APIClient(user=user, token=make_key(user).token)


def mint(client: APIClient, **body: Any) -> Any:
    return send(client, "POST", "/users/me/keys/tokens", body)


@pytest.mark.parametrize("path", ["/users/me/keys", "/users/me/keys/tokens"])
def test_minting_takes_four_statements(
    client: APIClient, path: str, django_assert_num_queries: Any
) -> None:
    # The key of the request; then the user, the policies, and the new key with its audit entry.
    with django_assert_num_queries(1 + 3):
        assert send(client, "POST", path, {}).status_code == 201
    assert Entry.objects.filter(action="api_key.create", actor_id=client.user.id).exists()


def test_mints_of_one_user_do_not_wait_for_each_other(client: APIClient) -> None:
    with connect_directly() as other, other.transaction():
        # Another mint has got as far as this.
        other.execute("SELECT 1 FROM users_user FOR SHARE")
        assert mint(client).status_code == 201


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("UPDATE users_user SET password = 'changed'", 409),
        ("UPDATE users_user SET roles = '{auditor}'", 409),
        ("DELETE FROM tokens_apikey; DELETE FROM users_user", 404),
        ("UPDATE users_user SET theme_preference = 'dark'", 201),
    ],
)
def test_change_of_the_user_meanwhile_is_an_error(
    client: APIClient, change: str, status: int
) -> None:
    (answer,) = during(change, partial(mint, client))

    assert answer.status_code == status
    assert APIKey.objects.minted().count() == (1 if status == 201 else 0)


def test_policy_that_changes_meanwhile_applies(client: APIClient) -> None:
    (answer,) = during(f"{LOCK_POLICIES}; {INSERT_POLICY}", partial(mint, client))

    assert (answer.status_code, TokenConfig.objects.count()) == (400, 1)


@pytest.mark.parametrize(
    ("other", "statuses"),
    [("policy", {302}), ("own policy", {302, 404}), ("token", {201, 404})],
)
def test_deadlock_with_the_deletion_of_a_user_is_resolved(other: str, statuses: set[int]) -> None:
    victim, owner = make_user("auditor"), make_user("owner")
    boss, path = APIClient(token=make_key(owner).token), f"/users/{victim.id}"
    make_key(victim, token_name="long")
    browser = browser_of(owner)
    browser.raise_request_exception = False
    add = partial(browser.post, "/admin/tokens/tokenconfig/add/")
    form = {"role": "auditor", "max_lifetime_ns": "1h", "on_violation": "expire"}
    actions: dict[str, Callable[[], Any]] = {
        "policy": partial(add, form),
        "own policy": partial(add, {"user": str(victim.id), "tokens_may_create_tokens": "True"}),
        "token": partial(send, boss, "POST", f"{path}/keys/tokens", {}),
    }
    # The first request builds the client's schema, which threads must not do at once.
    assert send(boss, "GET", path).status_code == 200

    # The deletion locks the user, and then waits. The other action waits for the user.
    deleted, answer = during(
        "LOCK TABLE django_admin_log IN SHARE MODE",
        partial(send, boss, "DELETE", path),
        actions[other],
    )

    assert deleted.status_code == 200
    assert answer.status_code in statuses
    assert TokenConfig.objects.count() == (1 if other == "policy" else 0)


def during[T](change: str, *actions: Callable[[], T]) -> list[T]:
    """Starts the actions while a transaction with the change is open, then commits the change.

    Each action starts when all earlier ones wait for a lock.
    """
    with ThreadPoolExecutor(len(actions)) as threads, connect_directly() as other:
        futures = []
        with other.transaction():
            other.execute(change)
            for action in actions:
                futures.append(threads.submit(closing(action)))
                wait_for(lambda: waiting_for_locks() == len(futures))
        return [future.result() for future in futures]


def test_minting_creates_a_missing_partition_of_the_audit_trail(client: APIClient) -> None:
    for first in PARTITIONS.starts():
        PARTITIONS.drop(first)

    assert mint(client).status_code == 201

    assert Entry.objects.get(action="api_key.create").created_at <= timezone.now()
