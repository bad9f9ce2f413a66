"""The admin's pages of keys, token policies and effective limits."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from tests.support.api.client import browser_of
from tests.support.browsers.markup import text_in
from tests.support.factories import DAY_NS, expire, make_key, make_user
from tokens.models import APIKey, TokenConfig
from users.models import User

pytestmark = pytest.mark.django_db

KEYS = "/admin/tokens/apikey/"
LIMITS = "/admin/tokens/tokenconfig/explain/"


@pytest.fixture
def admin() -> Client:
    return browser_of(make_user("owner", username="boss"))


def make_token(user: User, days: float, name: str, **fields: Any) -> Any:
    lifetime = int(days * DAY_NS)
    return make_key(user, login_type="token", lifetime_ns=lifetime, token_name=name, **fields)


@pytest.fixture
def ada() -> User:
    """A user with a key in each state, except for a suspended owner."""
    user = make_user(username="ada")
    TokenConfig.objects.create(user=user, max_lifetime_ns=60 * DAY_NS)
    make_token(user, 30, "fresh")
    make_token(user, 7, "short")
    make_token(user, 90, "long")
    expire(make_token(user, 30, "gone"))
    ending = make_token(user, 30, "ending").key
    ending.expires_at -= 25 * (ending.expires_at - ending.created_at) / 30
    ending.save()
    return user


def states(page: Any) -> dict[str, str]:
    """Returns the badge beside the name of each token."""
    row = r'field-token_name">(.*?)</td>.*?class="state state-\w+">(.*?)</span>'
    return dict(re.findall(row, page.text, re.DOTALL))


def test_list_shows_the_state_of_each_key(admin: Client, ada: User) -> None:
    page = admin.get(KEYS, {"person": "ada"})
    assert states(page) == {
        "fresh": "valid",
        "short": "valid",
        "long": "violates policy",
        "gone": "expired",
        "ending": "expires soon",
    }
    assert "its lifetime is 90 days, the maximum is 60 days" in text_in(page)
    assert "in 5 days" in text_in(page)
    key = ada.api_keys.get(token_name="long")
    change = admin.get(f"{KEYS}{key.pk}/change/")
    assert b"hashed" not in change.content
    text = text_in(change)
    assert "violates policy its lifetime is 90 days, the maximum is 60 days" in text
    assert "Full access" in text
    assert "a token, a session or a command" in text
    assert ada.username in text_in(admin.get(f"{KEYS}calendar/"))
    violating = states(admin.get(KEYS, {"state": "violating"}))
    assert violating == {"long": "violates policy"}
    User.objects.filter(pk=ada.pk).update(status="suspended")
    assert states(admin.get(KEYS))["fresh"] == "rejected: owner suspended"


def test_keys_above_the_limit_of_live_tokens_are_marked(admin: Client) -> None:
    user, other, now = make_user("auditor"), make_user(), timezone.now()
    TokenConfig.objects.create(role="auditor", max_live_tokens=1)
    expire(make_token(user, 30, "expired"))
    make_key(user)  # a session does not count
    for hours, name in enumerate(("newest", "older", "oldest")):
        key = make_token(user, 30, name).key
        APIKey.objects.filter(pk=key.pk).update(last_used=now - timedelta(hours=hours))
        make_token(other, 30, f"{name} of another user")

    page = admin.get(KEYS)

    marked = {name for name, state in states(page).items() if state == "violates policy"}
    assert marked == {"older", "oldest"}
    assert set(states(admin.get(KEYS, {"state": "violating"}))) == marked
    assert "it is number 3 by last use, the maximum is 1 live token" in text_in(page)
    # The rank does not depend on the other keys of the page.
    assert states(admin.get(KEYS, {"q": "oldest"}))["oldest"] == "violates policy"


def test_list_of_keys_takes_a_constant_number_of_queries(
    admin: Client, ada: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        make_token(make_user(), 5, "ci")
    with django_assert_max_num_queries(12):
        assert len(admin.get(KEYS).context["cl"].result_list) == 25


@pytest.mark.parametrize("person", ["ada", "ADA@example.com", "nobody", "\0", "x" * 5000])
def test_keys_are_found_by_their_owner(admin: Client, ada: User, person: str) -> None:
    make_token(make_user(), 5, "other")
    found = states(admin.get(KEYS, {"person": person, "state": "live"}))
    adas = {"fresh", "short", "long", "ending"}
    assert set(found) == (adas if "ada" in person.lower() else set())


@pytest.mark.parametrize(("chosen", "stored"), [("", None), ("True", True), ("False", False)])
def test_policy_may_inherit_whether_tokens_create_tokens(
    admin: Client, chosen: str, stored: bool | None
) -> None:
    form = {"role": "auditor", "max_lifetime_ns": "36h", "default_lifetime_ns": "1d"}
    form["tokens_may_create_tokens"] = chosen
    saved = admin.post("/admin/tokens/tokenconfig/add/", form)
    assert saved.status_code == 302, saved.context["errors"]
    config = TokenConfig.objects.get()
    assert config.tokens_may_create_tokens is stored
    page = admin.get(f"/admin/tokens/tokenconfig/{config.pk}/change/").content.decode()
    assert re.search(rf'<option value="{chosen}" selected>', page)
    assert 'value="36h0m0s"' in page
    assert 'value="1d"' in page


def test_new_subject_of_a_policy_is_recorded(admin: Client) -> None:
    config = TokenConfig.objects.create(role="auditor", max_live_tokens=1)
    form = {"role": "user-admin", "max_live_tokens": "1"}
    assert admin.post(f"/admin/tokens/tokenconfig/{config.pk}/change/", form).status_code == 302
    entry: Any = Entry.objects.get(action="token_config.set")
    subjects = (entry.before["subject"], entry.after["subject"])
    assert subjects == ("role auditor", "role user-admin")


def test_limits_are_explained_and_link_to_the_policy_and_the_user(admin: Client, ada: User) -> None:
    page = admin.get(LIMITS, {"user": "ADA"}).content.decode()
    assert "user ada: 60 days; CODER_MAX_TOKEN_LIFETIME: 100 years" in page
    for link in re.findall(r'href="(/admin/(?:users|tokens)/[^"]+)"', page):
        assert admin.get(link).status_code == 200, link
    config = TokenConfig.objects.get(user=ada)
    policy = f"/admin/tokens/tokenconfig/{config.pk}/"
    assert f"{policy}change/" in page
    history = admin.get(f"{policy}history/").headers["Location"]
    assert history == f"/admin/audit/entry/?target_type=token_config&target_id={config.pk}"
    assert admin.get(history).status_code == 200
    other = make_user()
    page = admin.get(LIMITS, {"user": other.username}).content.decode()
    assert f"/admin/tokens/tokenconfig/add/?user={other.pk}" in page
    shown = browser_of(make_user("auditor")).get(LIMITS, {"user": "nobody\0"}).content.decode()
    assert "There is no user nobody" in shown
    assert browser_of(other).get(LIMITS).status_code == 302


def test_policy_without_a_limit_is_rejected(admin: Client) -> None:
    answer = admin.post("/admin/tokens/tokenconfig/add/", {"role": "auditor"})
    assert "Set at least one limit." in answer.context["errors"].as_text()
    assert not TokenConfig.objects.exists()


@pytest.mark.parametrize("lifetime", ["86400", "1ms", "0", "soon"])
def test_lifetime_of_a_policy_is_at_least_a_second(admin: Client, lifetime: str) -> None:
    form = {"role": "auditor", "max_lifetime_ns": lifetime}
    answer = admin.post("/admin/tokens/tokenconfig/add/", form)
    assert lifetime in answer.context["errors"].as_text()
    assert not TokenConfig.objects.exists()
