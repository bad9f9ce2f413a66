"""Token policies: which rule sets a limit, error messages, and violations of a new policy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from audit.services import SYSTEM
from tests.support import commands
from tests.support.api.client import APIClient
from tests.support.api.sending import send
from tests.support.concurrency import at_once
from tests.support.factories import DAY_NS, HOUR_NS, make_key, make_user
from tokens.models import APIKey, TokenConfig
from tokens.policy import changes, resolution
from tokens.services import shorten_keys
from users.models import User

pytestmark = pytest.mark.django_db


def client_of(user: User, **key: Any) -> APIClient:
    return APIClient(user=user, token=make_key(user, **key).token)


def create(client: APIClient, **body: Any) -> Any:
    return send(client, "POST", "/users/me/keys/tokens", body)


def test_each_limit_is_resolved_by_itself() -> None:
    user = make_user("auditor", "user-admin")
    TokenConfig.objects.create(user=user, max_live_tokens=3)
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=9, max_live_tokens=1)
    TokenConfig.objects.create(
        role="user-admin",
        max_lifetime_ns=7,
        allowed_scopes=["user:*"],
        tokens_may_create_tokens=False,
    )
    TokenConfig.objects.create(
        max_lifetime_ns=1, allowed_scopes=["coder:all"], default_lifetime_ns=5
    )

    limits = resolution.policy_of(user)

    assert {name: (limit.value, limit.rule) for name, limit in limits.items()} == {
        "max_lifetime_ns": (7, ("role", "user-admin")),
        "default_lifetime_ns": (5, ("deployment", None)),
        "max_live_tokens": (3, ("user", user.username)),
        "allowed_scopes": (["user:*"], ("role", "user-admin")),
        "tokens_may_create_tokens": (False, ("role", "user-admin")),
    }


SCOPE_SETS = [
    (["coder:all"], ["user:read"], ["user:read"]),
    (["user:*", "api_key:read"], ["user:read", "api_key:*"], ["api_key:read", "user:read"]),
    (["user:read"], ["api_key:read"], []),
    (["coder:all"], ["coder:application_connect"], ["coder:application_connect"]),
]


@pytest.mark.parametrize(("one", "other", "common"), SCOPE_SETS)
def test_two_roles_allow_the_scopes_that_both_allow(
    one: list[str], other: list[str], common: list[str]
) -> None:
    user = make_user("auditor", "user-admin")
    TokenConfig.objects.create(role="auditor", allowed_scopes=one)
    TokenConfig.objects.create(role="user-admin", allowed_scopes=other)

    assert resolution.policy_of(user)[resolution.SCOPES].value == common


def test_explanation_names_the_rule_and_those_it_overrides(
    django_assert_num_queries: Any,
) -> None:
    user = make_user("auditor")
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=30 * DAY_NS)
    TokenConfig.objects.create(max_lifetime_ns=90 * DAY_NS)
    client = client_of(user)

    with django_assert_num_queries(3):
        answer = client.get("/api/coderapi/v1/users/me/token-policy").json()

    limit = answer["limits"][0]
    assert (limit["name"], limit["value"]) == ("max_lifetime_ns", 30 * DAY_NS)
    assert limit["rule"] == {"source": "role", "name": "auditor"}
    assert [(*one["rule"].values(), one["value"]) for one in limit["rules"]] == [
        ("role", "auditor", 30 * DAY_NS),
        ("deployment", None, 90 * DAY_NS),
        ("option", "CODER_MAX_TOKEN_LIFETIME", 3_155_760_000_000_000_000),
    ]
    assert limit["explanation"] == (
        "set by role auditor: 30 days; overrides deployment: 90 days, "
        "CODER_MAX_TOKEN_LIFETIME: 100 years"
    )


def test_error_for_a_long_lifetime_names_the_rule() -> None:
    user = make_user("auditor")
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=DAY_NS)
    client = client_of(user)

    over = create(client, lifetime=DAY_NS + 1)

    assert over.status_code == 400
    assert "lifetime must be at most 1 day (set by role auditor:" in over.json()["detail"]
    assert create(client, lifetime=DAY_NS).status_code == 201
    assert create(client).status_code == 201
    assert set(APIKey.objects.tokens().values_list("lifetime_ns", flat=True)) == {DAY_NS}


@pytest.mark.parametrize(
    "rule",
    [
        {"max_lifetime_ns": HOUR_NS},
        {"default_lifetime_ns": HOUR_NS},
        {"max_lifetime_ns": HOUR_NS, "default_lifetime_ns": DAY_NS},
    ],
)
def test_default_lifetime_comes_from_the_policy_and_is_never_above_the_maximum(
    rule: dict[str, int],
) -> None:
    TokenConfig.objects.create(**rule)

    for path in ("/users/me/keys", "/users/me/keys/tokens"):
        client = client_of(make_user())
        token = send(client, "POST", path, {}).json()["key"]
        assert APIKey.objects.get(pk=token[:10]).lifetime_ns == HOUR_NS


def test_error_for_a_scope_or_one_token_too_many_names_the_rule() -> None:
    user = make_user()
    TokenConfig.objects.create(user=user, allowed_scopes=["user:*"])
    TokenConfig.objects.create(max_live_tokens=1)
    client = client_of(user)

    answer = create(client)

    assert answer.status_code == 400
    assert f"coder:all is not allowed (set by user {user}: user:*" in answer.json()["detail"]
    assert send(client, "POST", "/users/me/keys").status_code == 400

    assert create(client, token_name="a", scopes=["user:read"]).status_code == 201
    refused = create(client, token_name="b", scopes=["user:read"])
    assert refused.status_code == 400
    assert "at most 1 (set by deployment: 1" in refused.json()["detail"]
    key_id = APIKey.objects.tokens().get().id
    send(client, "PUT", f"/users/me/keys/{key_id}/expire")
    assert create(client, token_name="b", scopes=["user:read"]).status_code == 201


def tokens_of(user: User, **lifetimes_ns: int) -> dict[str, APIKey]:
    return {
        name: make_key(user, token_name=name, lifetime_ns=ns, login_type="token").key
        for name, ns in lifetimes_ns.items()
    }


def test_violations_are_sorted_by_owner_and_last_use(django_assert_num_queries: Any) -> None:
    alice, bob = make_user("auditor", username="alice"), make_user(username="bob")
    make_key(alice, lifetime_ns=30 * DAY_NS)  # A session is not a token.
    tokens_of(alice, long=30 * DAY_NS, longer=40 * DAY_NS, short=DAY_NS)
    tokens_of(bob, long=30 * DAY_NS)
    APIKey.objects.filter(token_name="long").update(last_used=timezone.now() - timedelta(days=1))
    TokenConfig.objects.create(user=bob, max_lifetime_ns=50 * DAY_NS)

    def violations(config: TokenConfig) -> list[str]:
        found = changes.violations_of(config, now=timezone.now())
        return [f"{one.key.user} {one.key}" for one in found]

    with django_assert_num_queries(2):
        found = violations(TokenConfig(max_lifetime_ns=7 * DAY_NS))
    assert found == ["alice longer", "alice long"]
    assert violations(TokenConfig(role="auditor", max_lifetime_ns=35 * DAY_NS)) == ["alice longer"]
    assert violations(TokenConfig(role="owner", max_lifetime_ns=1)) == []
    assert violations(TokenConfig(max_live_tokens=2)) == ["alice long"]
    assert violations(TokenConfig(user=alice, allowed_scopes=["user:read"])) == [
        "alice short", "alice longer", "alice long",
    ]  # fmt: skip


run = partial(commands.run, "token_policy")


def test_command_needs_an_action_for_violations() -> None:
    user = make_user(username="alice")
    tokens_of(user, long=30 * DAY_NS)
    rule = ("set", "--deployment", "--max-lifetime", "7d")

    assert "1 live token violates the token policy of deployment" in run(*rule, "--dry-run")
    with pytest.raises(CommandError, match=r"violates it: .* leave, shorten or expire"):
        run(*rule)
    assert not TokenConfig.objects.exists()


@pytest.mark.parametrize(
    ("existing", "lifetime_days", "live"),
    [("leave", 30, True), ("shorten", 7, True), ("expire", 30, False)],
)
def test_tokens_that_violate_a_policy_are_left_shortened_or_expired(
    existing: str, lifetime_days: int, live: bool
) -> None:
    key = tokens_of(make_user(username="alice"), long=30 * DAY_NS)["long"]

    run("set", "--deployment", "--max-lifetime", "7d", "--on-violation", existing)

    key.refresh_from_db()
    now = timezone.now()
    assert key.lifetime_ns == lifetime_days * DAY_NS
    assert key.is_expired(now) is not live
    assert existing == "leave" or key.expires_at <= now + timedelta(days=7)
    actions = set(Entry.objects.values_list("action", flat=True))
    assert "token_config.set" in actions
    assert (f"api_key.{existing}" in actions) is (existing != "leave")


def test_command_sets_shows_explains_and_deletes() -> None:
    user = make_user("auditor", username="alice")

    lifetime, scopes = ("--max-lifetime", "7d"), ("--allowed-scopes", "user:*,api_key:read")
    run("set", "--role", "auditor", *lifetime, *scopes)
    run("set", "--user", "alice", "--tokens-may-create-tokens", "no", "--max-live-tokens", "2")
    run("set", "--user", "alice", "--max-live-tokens", "unset")

    rule = "role auditor\tmaximum lifetime: 7 days\tallowed scopes: user:*, api_key:read"
    assert rule in run("show")
    explained = run("explain", "alice")
    assert "maximum live tokens: no limit (not set by any rule)" in explained
    assert "maximum lifetime: 7 days (set by role auditor: 7 days" in explained
    assert "tokens may create tokens: no (set by user alice: no)" in explained
    assert TokenConfig.objects.get(user=user).max_live_tokens is None
    assert "Deleted" in run("delete", "--role", "auditor")
    assert Entry.objects.filter(action="token_config.delete").count() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "--user", "nobody", "--max-live-tokens", "1"),
        ("set", "--deployment", "--max-lifetime", "0"),
        ("set", "--deployment", "--max-lifetime", "7x"),
        ("set", "--deployment", "--max-lifetime", "1ms"),
        ("set", "--deployment", "--max-live-tokens", "-1"),
        ("set", "--deployment", "--allowed-scopes", "fly"),
        ("delete", "--deployment"),
        ("explain", "nobody"),
    ],
)
def test_command_rejects_invalid_arguments(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)


@pytest.mark.parametrize("number", ["1_0", "٣", "2147483648", "9" * 5_000, ""])
def test_command_names_the_flag_of_a_number_that_it_rejects(number: str) -> None:
    with pytest.raises(CommandError, match=r"--max-live-tokens: .* from 0 to 2,147,483,647"):
        run("set", "--deployment", "--max-live-tokens", number)
    assert not TokenConfig.objects.exists()


@pytest.mark.parametrize("path", ["/users/me/keys", "/users/me/keys/tokens"])
def test_key_of_every_route_is_within_the_policy(path: str) -> None:
    user = make_user()
    TokenConfig.objects.create(user=user, max_live_tokens=1)
    client = APIClient(token=make_key(user).token)

    first = send(client, "POST", path, {})
    second = send(client, "POST", "/users/me/keys", {})

    assert (first.status_code, second.status_code) == (201, 400)
    assert "at most 1" in second.json()["detail"]
    TokenConfig.objects.update(max_live_tokens=None, tokens_may_create_tokens=False)
    minted = APIClient(token=first.json()["key"])
    for other in ("/users/me/keys", "/users/me/keys/tokens"):
        refused = send(minted, "POST", other, {})
        assert (refused.status_code, "set by user" in refused.json()["detail"]) == (403, True)
    assert send(client, "POST", "/users/me/keys", {}).status_code == 201
    TokenConfig.objects.update(allowed_scopes=["user:read"])
    assert send(client, "POST", "/users/me/keys", {}).status_code == 400


def test_tokens_are_shortened_by_one_statement_for_each_limit() -> None:
    user, limits = make_user(), {str(number): (8 + number % 2) * DAY_NS for number in range(20)}
    tokens = tokens_of(user, **dict.fromkeys(limits, 30 * DAY_NS))
    lifetimes = {tokens[name]: limit for name, limit in limits.items()}
    with CaptureQueriesContext(connection) as queries:
        now = timezone.now()
        shortened = shorten_keys(lifetimes, actor=SYSTEM, now=now, reason="test")
    assert shortened == Entry.objects.filter(action="api_key.shorten").count() == 20
    assert {key: key.lifetime_ns for key in APIKey.objects.all()} == lifetimes
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 2
    assert "WHEN" not in "".join(updates)


def test_expiring_violations_ends_keys_of_every_route_but_no_session() -> None:
    user = make_user(username="alice")
    session = APIClient(token=make_key(user).token)
    tokens = [send(session, "POST", p, {}).json()["key"] for p in 2 * ["/users/me/keys"]]

    run("set", "--user", "alice", "--max-live-tokens", "0", "--on-violation", "expire")

    assert [APIClient(token=t).get("/api/v2/users/me").status_code for t in tokens] == [401, 401]
    assert session.get("/api/v2/users/me").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_limit_of_live_tokens_holds_under_forty_requests_at_once(settings: Any) -> None:
    settings.API_RATE_LIMIT = None
    user = make_user()
    TokenConfig.objects.create(user=user, max_live_tokens=3)
    client = APIClient(token=make_key(user).token)
    for _ in range(2):
        assert send(client, "POST", "/users/me/keys/tokens", {}).status_code == 201

    paths = 20 * ["/users/me/keys", "/users/me/keys/tokens"]
    answers = at_once([partial(send, client, "POST", path, {}) for path in paths])
    statuses = [answer.status_code for answer in answers]

    # A request that gets no connection within two seconds is 503 and creates nothing.
    assert set(statuses) <= {201, 400, 503}
    assert statuses.count(201) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("chosen", [("--on-violation", "expire"), ()])
def test_key_created_during_a_policy_change_does_not_escape_it(
    chosen: tuple[str, ...], settings: Any
) -> None:
    settings.API_RATE_LIMIT = None
    client = client_of(make_user())
    assert create(client, lifetime=10**9).status_code == 201

    def change() -> None:
        with suppress(CommandError):
            run("set", "--deployment", "--max-lifetime", "1h", *chosen)

    makers = [partial(create, client, lifetime=2 * HOUR_NS) for _ in range(12)]
    actions: list[Callable[[], Any]] = [*makers[:6], change, *makers[6:]]
    at_once(actions)

    escaped = APIKey.objects.minted().live(timezone.now()).filter(lifetime_ns__gt=HOUR_NS)
    assert not (TokenConfig.objects.exists() and escaped.exists())
