"""Keys in the admin: their states, their owners, and the limits of a user."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests.support.factories import DAY_NS, expire, make_key, make_user
from tests.support.markup import text_in
from tokens.models import TokenConfig
from users.models import User

pytestmark = pytest.mark.django_db

KEYS = "/admin/tokens/apikey/"
LIMITS = "/admin/tokens/tokenconfig/explain/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(make_user("owner", username="boss"))
    return client


def make_token(user: User, days: float, name: str, **fields: Any) -> Any:
    lifetime = int(days * DAY_NS)
    return make_key(user, login_type="token", lifetime_ns=lifetime, token_name=name, **fields)


@pytest.fixture
def ada() -> User:
    """Somebody with a key in each state but that of a suspended owner."""
    user = make_user(username="ada")
    TokenConfig.objects.create(user=user, max_token_lifetime=60 * DAY_NS)
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
    rows = re.findall(
        r'field-token_name">(.*?)</td>.*?class="state state-\w+">(.*?)</span>',
        page.content.decode(),
        re.DOTALL,
    )
    return dict(rows)


def test_each_key_says_how_it_stands(admin: Client, ada: User) -> None:
    page = admin.get(KEYS, {"person": "ada"})
    assert states(page) == {
        "fresh": "valid",
        "short": "valid",
        "long": "breaks a rule",
        "gone": "expired",
        "ending": "expires soon",
    }
    assert "lives 90 days, at most 60 days are allowed" in text_in(page)
    assert "expires in 4 days" in text_in(page)
    User.objects.filter(pk=ada.pk).update(status="suspended")
    assert states(admin.get(KEYS))["fresh"] == "refused: owner suspended"


def test_list_of_keys_asks_no_more_for_more_keys(
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
    assert set(found) == (
        {"fresh", "short", "long", "ending"} if "ada" in person.lower() else set()
    )


def test_a_key_says_why_it_breaks_a_rule(admin: Client, ada: User) -> None:
    key = ada.api_keys.get(token_name="long")
    page = text_in(admin.get(f"{KEYS}{key.pk}/change/"))
    assert "breaks a rule lives 90 days, at most 60 days are allowed" in page
    assert "everything" in page


@pytest.mark.parametrize(("chosen", "kept"), [("", None), ("True", True), ("False", False)])
def test_a_rule_may_leave_it_open_whether_tokens_make_others(
    admin: Client, chosen: str, kept: bool | None
) -> None:
    rule = {"role": "auditor", "max_token_lifetime": "36h", "default_token_lifetime": "1d"}
    saved = admin.post("/admin/tokens/tokenconfig/add/", rule | {"tokens_may_mint": chosen})
    assert saved.status_code == 302, saved.context["errors"]
    config = TokenConfig.objects.get()
    assert config.tokens_may_mint is kept
    page = admin.get(f"/admin/tokens/tokenconfig/{config.pk}/change/").content.decode()
    assert re.search(rf'<option value="{chosen}" selected>', page)
    assert 'value="36h0m0s"' in page
    assert 'value="1d"' in page


def test_limits_lead_to_the_rule_and_to_the_user(admin: Client, ada: User) -> None:
    page = admin.get(LIMITS, {"user": "ada"}).content.decode()
    for link in re.findall(r'href="(/admin/(?:users|tokens)/[^"]+)"', page):
        assert admin.get(link).status_code == 200, link
    rule = TokenConfig.objects.get(user=ada)
    assert f"/admin/tokens/tokenconfig/{rule.pk}/change/" in page
    other = make_user()
    page = admin.get(LIMITS, {"user": other.username}).content.decode()
    assert f"/admin/tokens/tokenconfig/add/?user={other.pk}" in page
