"""Concurrent requests: one username, the last owner, and a user who is being deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.services import SYSTEM, Actor
from kernel.http.errors import APIError
from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.browsers.markup import text_in
from tests.support.concurrency import at_once
from tests.support.factories import PASSWORD, make_key, make_user
from users import services
from users.erasure import delete_user
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def statuses_of(*actions: Callable[[], object]) -> list[int]:
    """Runs the actions at once. Returns their statuses, 200 for an action without an error."""

    def status(action: Callable[[], object]) -> int:
        try:
            action()
        except APIError as error:
            return error.status
        return 200

    return sorted(at_once([partial(status, action) for action in actions]))


def test_concurrent_requests_create_one_user_with_a_name() -> None:
    def make(username: str) -> Callable[[], object]:
        new = User(username=username, email=f"{username}@example.com")
        password = "a-quite-good-one"
        return lambda: services.create_user(new, password, actor=SYSTEM, now=timezone.now())

    assert statuses_of(make("zelda"), make("Zelda"), make("ZELDA")) == [200, 409, 409]


@pytest.mark.parametrize("action", ["demote", "suspend", "delete"])
def test_two_owners_cannot_remove_each_other_at_once(action: str) -> None:
    one, other = make_user("owner"), make_user("owner")

    def remove(target: User, by: User) -> Callable[[], object]:
        actor, now = Actor(user_id=by.id, name=by.username), timezone.now()
        calls: dict[str, Callable[[], object]] = {
            "demote": lambda: services.set_roles(target, [], actor=actor, now=now),
            "suspend": lambda: services.set_status(target, "suspended", actor=actor, now=now),
            "delete": lambda: delete_user(target, actor=actor, now=now),
        }
        return calls[action]

    assert statuses_of(remove(one, other), remove(other, one)) == [200, 400]


def test_two_owners_cannot_demote_each_other_in_the_admin() -> None:
    """One request succeeds. The other is rejected.

    It would remove the last owner, or its sender is no longer an owner (403).
    """
    owners = [make_user("owner"), make_user("owner")]

    def demote(target: User, by: User) -> Callable[[], bool]:
        browser = Client()
        browser.force_login(by)
        form: dict[str, Any] = {"username": target.username, "email": target.email}
        address = f"/admin/users/user/{target.id}/change/"
        form |= {"roles": ["auditor"], "status": "active"}
        return lambda: is_rejected(browser.post(address, form, follow=True))

    def is_rejected(answer: Any) -> bool:
        assert answer.status_code in {200, 403}
        kept = "You cannot remove the last active owner." in text_in(answer)
        return kept or answer.status_code == 403

    assert sorted(at_once([demote(*owners), demote(*reversed(owners))])) == [False, True]
    assert User.objects.filter(roles__contains=["owner"]).count() == 1


ROUNDS = 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [("password", "key", "status"), ("roles", "token", "log in"), ("page", "status", "roles")],
)
def test_deletion_during_other_requests_is_never_500(others: tuple[str, ...]) -> None:
    """A deletion is 409 if another request changes the user first. A retry succeeds."""
    owner = make_user("owner")
    boss, pages = APIClient(token=make_key(owner).token), Client(raise_request_exception=False)
    pages.force_login(owner)
    # The first request builds the client's schema, which threads must not do at once.
    assert boss.get("/api/v2/users/me").status_code == 200
    statuses: Counter[tuple[str, int]] = Counter()
    for number in range(ROUNDS):
        victim = make_user()
        theirs = APIClient(token=make_key(victim).token)
        path, page = f"/users/{victim.id}", f"/admin/users/user/{victim.id}/change/"
        form = {"username": victim.username, "email": victim.email, "status": "suspended"}
        entered = {"email": victim.email, "password": PASSWORD}
        new = {"password": f"another-horse-{number}"}
        actions: dict[str, Callable[[], Any]] = {
            "delete": partial(send, boss, "DELETE", path),
            "password": partial(send, boss, "PUT", f"{path}/password", new),
            "key": partial(send, theirs, "POST", "/users/me/keys"),
            "token": partial(send, boss, "POST", f"{path}/keys/tokens", {}),
            "status": partial(send, boss, "PUT", f"{path}/status/suspend"),
            "page": partial(pages.post, page, form | {"roles": "auditor"}),
            "roles": partial(send, boss, "PUT", f"{path}/roles", {"roles": ["auditor"]}),
            "log in": partial(send, APIClient(), "POST", "/users/login", entered),
        }
        names = ("delete", *others)
        answers = at_once([actions[name] for name in names])
        statuses.update((n, answer.status_code) for n, answer in zip(names, answers, strict=True))
        assert (first := answers[0].status_code) in {200, 409}
        assert send(boss, "DELETE", path).status_code == (200 if first == 409 else 400)

    expected = {200, 201, 204, 302, 400, 401, 404, 409, 429}
    assert {status for _, status in statuses} <= expected, statuses
