"""Tokens of a Coder deployment: their users, their rights, and the error for each fault.

The stand-in for Coder answers over a real socket.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from audit.models import Entry
from beside import client, identity
from beside.identity import CoderIdentity
from coderapi.openapi.document import openapi
from kernel.http.wire import WireFormat
from tests.support.api.asking import begun
from tests.support.api.client import browser_of
from tests.support.api.role_matrix import BODIES
from tests.support.api.role_matrix import MATRIX as OWN
from tests.support.api.sending import count_rejected_tokens, send
from tests.support.coder.releases import Release
from tests.support.coder.stand_in import Key, Person, StandInCoder, new_token
from tests.support.concurrency import at_once
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.processes import DEADLINE_SECONDS, wait_for
from tests.support.servers.live import own_server
from tokens.models import APIKey, TokenConfig
from tokens.verification import keys, providers
from tokens.verification.caller import MAX_REFUSED
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

AUTHCHECK, ME = "/api/v2/authcheck", "/api/v2/users/me"
TOKEN_CONFIG = "/users/me/keys/tokens/tokenconfig"
SSH = "/deployment/ssh"
CODERS_LIMIT = 604800000000000
REJECTED = {"outcome": "rejected"}
REPORT = {"csp-report": {"effective-directive": "img-src"}}


@pytest.fixture
def coder(coder: StandInCoder, settings: Any) -> Iterator[StandInCoder]:
    """Lets this process ask the stand-in about tokens, without a service token."""
    settings.ROOT_URLCONF = "coderapi.coder_urls"
    settings.CODER_TOKEN = ""
    with identity_of(coder):
        yield coder
        # A lookup that goes on would store its user during the next test.
        coder.delay = 0.0
        coder.released.set()
        wait_for(lambda: not providers._asked)


@contextmanager
def identity_of(
    coder: StandInCoder,
    *,
    request: float = DEADLINE_SECONDS,
    new: float = DEADLINE_SECONDS,
    known: float = DEADLINE_SECONDS,
) -> Iterator[StandInCoder]:
    """Asks the stand-in about tokens in the block, with these times to wait."""
    before = providers.other()
    providers.register(CoderIdentity(request, new_seconds=new, known_seconds=known))
    yield coder
    providers.register(before)


def ask(path: str, token: str = "", method: str = "GET", body: Any = None, **more: str) -> Any:
    headers = {"headers": {"Coder-Session-Token": token}} if token else {}
    browser = Client(raise_request_exception=False)
    return send(browser, method, path, body, **headers, **more)


Later = Callable[[float], None]
stopped = pytest.mark.usefixtures("stopped_clock")


# --- Rights ------------------------------------------------------------------------------------

# Our own users and those of Coder have the same rights.
MATRIX = {
    operation: row
    for operation, row in OWN.items()
    if not any(part in operation for part in ("/users", "/organizations", "authcheck", "{"))
} | {f"GET {TOKEN_CONFIG}": OWN[f"GET {TOKEN_CONFIG}"]}


@pytest.mark.parametrize(
    ("role", "column"),
    [("owner", 0), ("auditor", 1), ("user-admin", 2), ("template-admin", 3), ("", 4), (None, 5)],
)
def test_roles_of_coder_decide(coder: StandInCoder, role: str | None, column: int) -> None:
    roles = (role,) if role else ()
    token = coder.add(Key(Person("ada", roles))).token if role is not None else ""
    found = {}
    for operation in MATRIX:
        method, _, path = operation.partition(" ")
        found[operation] = ask(path, token, method, BODIES.get(operation)).status_code
    assert found == {operation: row[column] for operation, row in MATRIX.items()}
    assert coder.count(AUTHCHECK) == (role is not None)
    assert is_limited(token) is (role != "owner")


def is_limited(token: str) -> bool:
    """Returns whether the rate limit applies to a request that asks to bypass it."""
    return "X-RateLimit-Limit" in ask(SSH, token, HTTP_X_CODER_BYPASS_RATELIMIT="true").headers


CSP_GROUPS = "/api/coderapi/v1/csp/groups"
NARROWED_PATHS = ("/deployment/config", "/deployment/stats", SSH, CSP_GROUPS, TOKEN_CONFIG)
# The statuses of a token with full access. There are no stats yet.
ALL_STATUSES = (200, 400, 200, 200, 200)


@pytest.mark.parametrize(
    ("limits", "statuses"),
    [
        ({"scopes": ("application_connect",)}, (403, 403, 200, 403, 404)),
        ({"scopes": ("deployment_stats:read",)}, (403, 400, 200, 403, 404)),
        ({"scopes": ("deployment_config:read", "user:read")}, (200, 403, 200, 403, 200)),
        # Even all scopes that users can choose do not add up to full access.
        (
            {"scopes": (*identity.SITE, "api_key:create", "user:update_personal")},
            (200, 400, 200, 403, 200),
        ),
        ({"allow_list": ("workspace:*",)}, (403, 403, 200, 403, 404)),
    ],
)
def test_narrowed_token_of_an_owner_may_do_what_coder_allows(
    coder: StandInCoder, release: Release, limits: dict[str, Any], statuses: tuple[int, ...]
) -> None:
    key = coder.add(Key(Person("ada", ("owner",)), **limits))
    # Coder 2.25 ignores all scopes but this one.
    is_full = not release.enforces_scopes and key.scope == "all"
    found = tuple(ask(path, key.token).status_code for path in NARROWED_PATHS)
    assert found == (ALL_STATUSES if is_full else statuses)
    assert is_limited(key.token) is not is_full


def allowing(*actions: str) -> dict[str, Any]:
    """Returns an answer that allows these actions on all objects, and all on own objects."""
    return {name: name in actions or name.startswith("own ") for name in identity.CHECKS}


@pytest.mark.parametrize(
    ("roles", "checks", "statuses"),
    [
        # A custom role of Coder that may read the stats, and an owner whom Coder allows less.
        (["stats-reader"], allowing("deployment_stats:read"), (403, 400, 200, 403, 200)),
        (["owner"], allowing("deployment_config:read", "user:read"), (200, 403, 200, 403, 200)),
        ([{"name": "owner", "organization_id": "x"}], allowing(), (403, 403, 200, 403, 200)),
        # Missing and odd checks are not allowed.
        (
            ["owner"],
            {"deployment_config:read": "true", "audit_log:read": 1},
            (403, 403, 200, 403, 404),
        ),
    ],
)
def test_answer_of_authcheck_is_the_limit(
    coder: StandInCoder, roles: list[Any], checks: Any, statuses: tuple[int, ...]
) -> None:
    token = coder.add(Key(Person("ada"))).token
    names = [role if isinstance(role, dict) else {"name": role} for role in roles]
    coder.answers[AUTHCHECK] = 200, json.dumps(checks).encode()
    coder.answers[ME] = 200, json.dumps({**PERSON, "roles": names}).encode()
    assert tuple(ask(path, token).status_code for path in NARROWED_PATHS) == statuses
    assert is_limited(token)


def test_token_is_sent_only_in_the_header(coder: StandInCoder) -> None:
    token = coder.add(Key(Person("ada"))).token
    browser = Client()
    browser.cookies["coder_session_token"] = token
    assert browser.get(f"/api/v2{SSH}").status_code == 200
    sent = {name: text for name, text in coder.headers.items() if token in text}
    assert sent == {"Coder-Session-Token": token}
    assert "Cookie" not in coder.headers
    assert coder.headers["X-Forwarded-For"] == "127.0.0.1"


# --- Rejected tokens ---------------------------------------------------------------------------


@stopped
def test_revoked_token_is_rejected_after_ten_seconds(coder: StandInCoder, later: Later) -> None:
    key = coder.add(Key(Person("ada")))
    assert ask(SSH, key.token).status_code == 200
    del coder.keys[key.token]
    later(9)
    assert ask(SSH, key.token).status_code == 200
    later(1)
    refused = ask(SSH, key.token)
    assert refused.status_code == 401
    assert "session has expired" in refused.json()["message"]


@stopped
def test_rejection_is_cached_for_two_seconds(coder: StandInCoder, later: Later) -> None:
    key = Key(Person("ada", status="suspended"))
    assert ask(SSH, "malformed").status_code == 401
    assert coder.seen == []
    counted = REGISTRY.get_sample_value("coderapi_coder_token_checks_total", REJECTED) or 0.0
    for _ in range(2):
        assert ask(SSH, key.token).json()["detail"].endswith("unknown or was revoked.")
    assert coder.count(AUTHCHECK) == 1
    assert REGISTRY.get_sample_value("coderapi_coder_token_checks_total", REJECTED) == counted + 1
    coder.add(key)
    later(2)
    assert ask(SSH, key.token).json()["message"] == "User is not active."


# --- Our own keys ------------------------------------------------------------------------------


def test_own_keys_are_sent_to_coder_only_after_they_were_deleted(coder: StandInCoder) -> None:
    own = make_key(make_user("owner"), scopes=["deployment_stats:read"]).token
    assert ask("/deployment/stats", own).status_code == 400
    assert ask("/deployment/config", own).status_code == 403
    assert ask(SSH, f"{own[:11]}{'a' * 22}").status_code == 401
    expired = make_key(make_user()).token
    APIKey.objects.filter(id=expired[:10]).update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert ask(SSH, expired).status_code == 401
    assert coder.seen == []
    APIKey.objects.filter(id=own[:10]).delete()
    keys.MEMORY.clear()
    assert ask(SSH, own).status_code == 401
    assert coder.count(AUTHCHECK) == 1


# --- Faults of Coder ---------------------------------------------------------------------------

NOT_A_USER = {"id": 3, "username": "ada", "roles": []}
PERSON = Person("ada").as_json()


def _plays(coder: StandInCoder, *, fault: str) -> None:
    coder.fault = fault


def _asks(coder: StandInCoder, path: str, content: bytes, status: int = 200) -> None:
    coder.answers[path] = status, content


FAULTS: dict[str, Callable[[StandInCoder], object]] = {
    "away": lambda coder: coder.server_close(),
    **{fault: partial(_plays, fault=fault) for fault in ("hang", "500", "html", "redirect")},
    "list": lambda coder: _asks(coder, AUTHCHECK, b"[]"),
    "null": lambda coder: _asks(coder, AUTHCHECK, b"null"),
    "empty": lambda coder: _asks(coder, AUTHCHECK, b""),
    "nested": lambda coder: _asks(coder, AUTHCHECK, b"[" * 100_000),
    "huge": lambda coder: _asks(coder, AUTHCHECK, b'{"a": "' + b"a" * 2_000_000 + b'"}'),
    "rate limit": lambda coder: _asks(coder, AUTHCHECK, b"{}", 429),
    "unknown route": lambda coder: _asks(coder, AUTHCHECK, b"{}", 404),
    "no user": lambda coder: _asks(coder, ME, b"[]"),
    "odd id": lambda coder: _asks(coder, ME, json.dumps(NOT_A_USER).encode()),
    "odd roles": lambda coder: _asks(coder, ME, json.dumps({**PERSON, "roles": ["x"]}).encode()),
    "odd name": lambda coder: _asks(coder, ME, json.dumps({**PERSON, "username": 1}).encode()),
    "forbidden": lambda coder: _asks(coder, ME, b"{}", 403),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_503_except_for_cached_tokens(
    coder: StandInCoder, fault: str, settings: Any, later: Later
) -> None:
    known, new = (coder.add(Key(Person(name))).token for name in ("ada", "bob"))
    assert ask(SSH, known).status_code == 200
    FAULTS[fault](coder)
    with identity_of(coder, request=0.3):
        refused = ask(SSH, new)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert "Coder has not responded as expected since" in refused.json()["detail"]
        assert settings.CODER_URL.partition("//")[2] not in refused.text
        assert [ask(SSH, known).status_code, ask("/buildinfo").status_code] == [200, 200]
        later(identity.PERSON_SECONDS)
        assert ask(SSH, known).status_code == 503


def test_log_names_the_reason_once_a_minute(
    coder: StandInCoder, caplog: pytest.LogCaptureFixture
) -> None:
    _asks(coder, AUTHCHECK, b"{}", 429)
    assert [ask(SSH, new_token()).status_code for _ in range(2)] == [503, 503]
    assert caplog.text.count("Raise CODER_API_RATE_LIMIT") == 1


def test_error_has_the_time_of_the_first_failure(coder: StandInCoder) -> None:
    # A success ends the failures of earlier tests.
    assert ask(SSH, new_token()).status_code == 401
    coder.fault = "500"
    with patch("django.utils.timezone.now", lambda: datetime(2020, 1, 1, tzinfo=UTC)):
        ask(SSH, new_token())
    assert "since 2020-01-01" in ask(SSH, new_token()).json()["detail"]
    coder.fault = ""
    assert ask(SSH, new_token()).status_code == 401
    coder.fault = "500"
    assert "since 2020-01-01" not in ask(SSH, new_token()).json()["detail"]


def test_faults_of_coder_do_not_count_as_rejected_tokens(
    coder: StandInCoder, same_minute: None
) -> None:
    for fault, status, rejected in (("500", 503, 0), ("", 401, 1)):
        coder.fault = fault
        assert ask(SSH, new_token()).status_code == status
        assert count_rejected_tokens() == rejected


@pytest.mark.slow
def test_session_that_was_not_checked_is_not_called_invalid(
    coder: StandInCoder, same_minute: None
) -> None:
    count_rejected_tokens(MAX_REFUSED)
    browser = Client()
    browser.cookies["coder_session_token"] = coder.add(Key(Person("ada", ("owner",)))).token
    coder.fault = "hang"
    assert browser.get("/api/v2/admin/").status_code == 429
    coder.released.set()
    coder.fault = ""
    wait_for(lambda: browser.get("/api/v2/admin/").status_code == 302)


def test_event_loop_gets_the_caller_as_a_future(coder: StandInCoder, later: Later) -> None:
    key = coder.add(Key(Person("ada")))
    for seconds in (0, 10):
        later(seconds)
        (caller,) = begun((key.token, "192.0.2.1"))
        assert caller.identity
        assert caller.identity.username == "ada"
    assert coder.count(AUTHCHECK) == 2
    del coder.keys[key.token]
    later(10)
    (caller,) = begun((key.token, "192.0.2.1"))
    assert caller.refusal
    assert caller.refusal.status == 401
    coder.fault = "hang"
    with identity_of(coder, new=0.01):
        (caller,) = begun((new_token(), "192.0.2.1"))
    assert caller.refusal
    assert caller.refusal.status == 503


@pytest.mark.parametrize(("is_known", "address"), [(False, "192.0.2.2"), (True, "192.0.2.1")])
@pytest.mark.slow
def test_many_new_tokens_delay_no_other_client_and_no_known_token(
    coder: StandInCoder, later: Later, is_known: bool, address: str
) -> None:
    token = coder.add(Key(Person("ada"))).token
    if is_known:
        assert ask(SSH, token).status_code == 200
        later(10)
    coder.tokens.clear()
    coder.delay = 0.05
    many = [(new_token(), "192.0.2.1") for _ in range(300)]
    *_, caller = begun(*many, (token, address))
    assert caller.identity
    # Coder was asked about it before most of the tokens that had arrived earlier.
    assert coder.tokens.index(token) < len(many) / 2


def test_sixty_four_clients_with_one_new_token_make_one_look_up(coder: StandInCoder) -> None:
    token = coder.add(Key(Person("ada"))).token
    coder.delay = 0.3
    answers = at_once([lambda: ask(SSH, token).status_code] * 64)
    assert answers == [200] * 64
    assert coder.count(AUTHCHECK) == coder.count(ME) == 1


# --- A slow Coder ------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_request_to_coder_has_its_own_deadline(coder: StandInCoder) -> None:
    # The overhead of a busy machine is less than one of these times.
    for deadline in (1.0, 4.0, 16.0):
        coder.delay = 0.7 * deadline
        with identity_of(coder, request=deadline):
            status = ask(SSH, coder.add(Key(Person("ada"))).token).status_code
        if status == 200:
            return
    pytest.fail("two requests share a deadline")


def test_look_up_goes_on_when_its_request_gives_up(coder: StandInCoder) -> None:
    token = coder.add(Key(Person("ada"))).token
    coder.delay = 0.2
    with identity_of(coder, new=0.1):
        assert ask(SSH, token).status_code == 503
        wait_for(lambda: ask(SSH, token).status_code == 200)
    assert (coder.count(AUTHCHECK), coder.count(ME)) == (1, 1)


@stopped
def test_known_token_is_accepted_for_two_minutes_while_coder_hangs(
    coder: StandInCoder, later: Later
) -> None:
    token = coder.add(Key(Person("ada"))).token
    assert ask(SSH, token).status_code == 200
    coder.fault = "hang"
    with identity_of(coder, request=0.2, new=0.1, known=0.1):
        for _ in range(5):  # The breaker opens.
            ask(SSH, new_token())
        found = []
        for seconds in (11, 50, 57, 2):
            later(seconds)
            found.append(ask(SSH, token).status_code)
        assert found == [200, 200, 200, 503]


def test_known_token_that_was_revoked_is_rejected_as_soon_as_coder_responds(
    coder: StandInCoder, later: Later
) -> None:
    key = coder.add(Key(Person("ada")))
    assert ask(SSH, key.token).status_code == 200
    del coder.keys[key.token]
    coder.delay = 0.3
    later(10)
    with identity_of(coder, known=0.01):
        assert ask(SSH, key.token).status_code == 200
        wait_for(lambda: ask(SSH, key.token).status_code == 401)
    assert coder.count(AUTHCHECK) == 2


type Steps = list[tuple[dict[str, Any], float]]
OLD: Steps = [({}, 0), ({}, 10), ({}, 280), ({}, 10)]
CHANGED: Steps = [
    *(({}, 0), ({"roles": ("auditor",)}, 10), ({"roles": ()}, 10)),
    *(({"status": "suspended"}, 10), ({"status": "active"}, 10)),
]


@stopped
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (OLD, [(200, 1), (200, 1), (200, 1), (200, 2)]),
        (CHANGED, [(200, 1), (200, 2), (200, 3), (401, 3), (200, 4)]),
    ],
)
def test_user_is_asked_for_again_after_five_minutes_or_if_the_decision_changes(
    coder: StandInCoder, later: Later, steps: Steps, expected: list[tuple[int, int]]
) -> None:
    person = Person("ada")
    token = coder.add(Key(person)).token
    asked = []
    for change, seconds in steps:
        vars(person).update(change)
        later(seconds)
        asked.append((ask(SSH, token).status_code, coder.count(ME)))
    assert asked == expected
    assert coder.count(AUTHCHECK) == len(steps)


def test_requests_to_coder_are_counted_by_path(coder: StandInCoder) -> None:
    def counted() -> dict[str, float]:
        (family,) = client.REQUESTS.collect()
        totals = [sample for sample in family.samples if sample.name.endswith("_total")]
        return {sample.labels["path"]: sample.value for sample in totals}

    before = counted()
    token = coder.add(Key(Person("ada"))).token
    for path in (TOKEN_CONFIG, TOKEN_CONFIG.replace("/me/", "/ada/")):
        assert ask(path, token).status_code == 200
    found = {path: value - before.get(path, 0.0) for path, value in counted().items()}
    found = {path: value for path, value in found.items() if value}
    limits = "/api/v2/users/{id}/keys/tokens/tokenconfig"
    assert found == {AUTHCHECK: 1, ME: 1, limits: 2}


# --- Stored users ------------------------------------------------------------------------------


def test_person_is_stored_once_and_after_each_change(coder: StandInCoder, later: Later) -> None:
    person = Person("Ada", ("auditor", "custom"))
    token = coder.add(Key(person)).token
    ask(SSH, token)
    stored = User.objects.get(pk=person.id)
    assert (stored.username, stored.email) == ("ada", "ada@example.com")
    assert (stored.source, stored.roles) == ("coder", ["auditor"])
    with CaptureQueriesContext(connection) as remembered:
        assert ask(SSH, token).status_code == 200
    assert len(remembered) == 0
    later(10)
    with CaptureQueriesContext(connection) as unchanged:
        assert ask(SSH, token).status_code == 200
    assert not [query for query in unchanged if "SELECT" not in query["sql"]]
    person.username, person.roles = "augusta", ()
    later(10)
    ask(SSH, token)
    stored.refresh_from_db()
    assert (stored.username, stored.roles) == ("augusta", [])
    # A deleted copy is stored again.
    stored.delete()
    later(10)
    ask(SSH, token)
    assert User.objects.filter(pk=person.id).exists()


def test_own_users_keep_their_names(coder: StandInCoder) -> None:
    own = make_user(username="ada", email="bob@example.com")
    for name in ("ada", "bob", "me", "é", "x" * 250):
        person = Person(name)
        assert ask(SSH, coder.add(Key(person)).token).status_code == 200
        stored = User.objects.get(pk=person.id)
        taken = {"ada": "username", "bob": "email", "me": "username"}.get(name, "both")
        assert ("coder-" in stored.username) == (taken in {"username", "both"})
        assert ("coder.invalid" in stored.email) == (taken in {"email", "both"})
    own.refresh_from_db()
    assert (own.username, own.source) == ("ada", "own")


def test_audit_entry_has_the_name_of_the_copy(coder: StandInCoder) -> None:
    make_user(username="ada")
    token = coder.add(Key(Person("ada", ("owner",)))).token
    ask("/csp/reports", token, "POST", REPORT)
    (group,) = ask("/api/coderapi/v1/csp/groups", token).json()["groups"]
    assert ask(f"{CSP_GROUPS}/{group['id']}", token, "PATCH", {"note": "x"}).status_code == 200
    assert Entry.objects.latest("id").actor_name.startswith("coder-")


def test_name_that_moves_to_another_person_moves_here_too(
    coder: StandInCoder, later: Later
) -> None:
    first, second = Person("ada"), Person("ada")
    tokens = [coder.add(Key(person)).token for person in (first, second)]
    assert [ask(SSH, token).status_code for token in tokens] == [200, 200]
    assert str(User.objects.get(username="ada").id) == second.id
    first.username = "grace"
    later(identity.PERSON_SECONDS)
    ask(SSH, tokens[0])
    assert str(User.objects.get(username="grace").id) == first.id


def test_stored_person_has_no_password_and_no_keys(coder: StandInCoder, settings: Any) -> None:
    person = Person("ada")
    ask(SSH, coder.add(Key(person)).token)
    providers.register(None)
    settings.ROOT_URLCONF = "coderapi.urls"
    user = make_user("owner")
    owner = make_key(user).token
    sign_in = {"email": "ada@example.com", "password": PASSWORD}
    assert ask("/users/login", method="POST", body=sign_in).status_code == 401
    password = {"password": "another-horse-battery"}
    assert ask("/users/ada/password", owner, "PUT", password).status_code == 400
    assert ask("/users/ada/keys", owner, "POST").status_code == 400
    for path, body in (("roles", {"roles": ["owner"]}), ("status/suspend", {})):
        refused = ask(f"/users/ada/{path}", owner, "PUT", body)
        assert refused.status_code == 400
        assert "ada is a user of Coder. Change the" in refused.json()["message"]
    with pytest.raises(CommandError, match="Create the token there"):
        call_command("create_token", "--user", "ada")
    page = f"/admin/users/user/{person.id}/change/"
    assert browser_of(user).get(page).status_code == 200
    assert browser_of(user).post(page, {"username": "eve"}).status_code == 403


def test_no_secret_is_stored_logged_or_answered(
    coder: StandInCoder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [coder.add(Key(Person("ada"))).token, new_token()]
    answers = "".join(ask(path, token).text for path in (SSH, "/nothing") for token in tokens)
    coder.fault = "500"
    answers += ask(SSH, new_token()).text
    rows = [str(vars(user)) for user in User.objects.all()]
    cached = str([*identity.ANSWERS._values.items(), *identity.LIMITS._values.items()])
    for token in tokens:
        assert token[11:] not in "".join([answers, caplog.text, cached, *rows])


# --- Operations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        *("POST /users/login", "POST /users/logout", "POST /users/first", "GET /users/me"),
        *("GET /users", "POST /users", "DELETE /users/ada", "PUT /users/ada/roles"),
        *("POST /users/me/keys", "GET /users/me/keys/tokens", "GET /organizations"),
        *("GET /organizations/coder/members", "POST /authcheck", "GET /users/authmethods"),
    ],
)
def test_operations_of_coder_are_404(coder: StandInCoder, operation: str, settings: Any) -> None:
    settings.ACCESS_URL = "https://coder.example.com"
    method, _, path = operation.partition(" ")
    answer = ask(path, method=method)
    assert answer.status_code == 404
    assert "not found" in answer.json()["message"]
    assert "Coder deployment at https://coder.example.com" in answer.json()["detail"]


def test_schema_has_only_the_operations_that_stay(coder: StandInCoder) -> None:
    paths = [path for path in openapi(WireFormat.CODERD)["paths"] if "users" in path]
    assert paths == ["/api/v2/users/{user}/keys/tokens/tokenconfig"]


def test_tokenconfig_is_our_policy_or_the_answer_of_coder(coder: StandInCoder) -> None:
    person = Person("ada", ("auditor",))
    token = coder.add(Key(person)).token
    for _ in range(2):
        assert ask(TOKEN_CONFIG, token).json() == {"max_token_lifetime": CODERS_LIMIT}
    assert coder.count(f"/api/v2{TOKEN_CONFIG}") == 1
    by_name = TOKEN_CONFIG.replace("/me/", "/ada/")
    assert ask(by_name, token).json() == {"max_token_lifetime": CODERS_LIMIT}
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=3_600_000_000_000)
    for path in (TOKEN_CONFIG, by_name):
        assert ask(path, token).json() == {"max_token_lifetime": 3_600_000_000_000}
    assert ask(TOKEN_CONFIG.replace("/me/", "/nobody/"), token).status_code == 400
    own = make_key(make_user()).token
    assert ask(TOKEN_CONFIG, own).json()["max_token_lifetime"] != CODERS_LIMIT


@pytest.mark.usefixtures("connected")
def test_own_tokenconfig_is_cached_for_half_a_minute(coder: StandInCoder, later: Later) -> None:
    token = coder.add(Key(Person("ada"))).token
    assert ask(TOKEN_CONFIG, token).status_code == 200
    with CaptureQueriesContext(connection) as queries:
        assert ask(TOKEN_CONFIG, token).json() == {"max_token_lifetime": CODERS_LIMIT}
    assert len(queries) == 0
    changed = json.dumps({"max_token_lifetime": 1}).encode()
    coder.answers[f"/api/v2{TOKEN_CONFIG}"] = 200, changed
    later(30)
    assert ask(TOKEN_CONFIG, token).json() == {"max_token_lifetime": 1}
    coder.answers[f"/api/v2{TOKEN_CONFIG}"] = 500, b"{}"
    later(60)
    assert ask(TOKEN_CONFIG, token).json() == {"max_token_lifetime": 1}


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"max_token_lifetime": "7d"}', b"<html>"])
def test_unusable_tokenconfig_of_coder_is_a_503(coder: StandInCoder, content: bytes) -> None:
    coder.answers[f"/api/v2{TOKEN_CONFIG}"] = 200, content
    token = coder.add(Key(Person("ada"))).token
    assert [ask(TOKEN_CONFIG, token).status_code for _ in range(4)] == [503] * 4
    # Other tokens are still looked up.
    assert ask(SSH, coder.add(Key(Person("bob"))).token).status_code == 200


# --- A server ----------------------------------------------------------------------------------


def test_cached_tokens_are_accepted_while_coder_hangs(tmp_path: Path) -> None:
    new_tokens = [new_token() for _ in range(64)]
    with StandInCoder() as coder:
        names = {"CODERAPI_USER_SOURCE": "coder", "CODERAPI_CODER_URL": coder.url}
        names["CODER_SWAGGER_ENABLE"] = "true"
        with own_server("--web-only", log=tmp_path / "log", **names) as server:
            token = coder.add(Key(Person("ada", ("owner",)))).token
            for path in (SSH, "/deployment/config", TOKEN_CONFIG):
                assert server.ask(f"/api/v2{path}", token=token).status == 200
            assert server.ask("/api/v2/users/me", token=token).status == 404
            assert b"own users" not in server.ask("/templates").body
            assert b"users/login" not in server.ask("/swagger/openapi.json").body
            coder.fault = "hang"
            with ThreadPoolExecutor(64) as pool:
                found = pool.map(lambda key: server.ask(f"/api/v2{SSH}", token=key), new_tokens)
                wait_for(lambda: coder.count(AUTHCHECK) >= 10)
                assert server.ask(f"/api/v2{SSH}", token=token).status == 200
                assert server.ask("/api/v2/buildinfo").status == 200
            assert [answer.status for answer in found] == [503] * 64
