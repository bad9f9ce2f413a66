"""Token policies of coderapi, applied to the tokens of a Coder deployment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from audit.models import Entry
from beside import token_policy
from beside.identity import CoderIdentity
from beside.models import CoderToken
from beside.user_copies import mirror, read_person
from jobs.registry import JobFailedError, find
from jobs.services import run_job
from tests.support.api.client import browser_of
from tests.support.coder.releases import OTHER_RELEASES, RELEASES, V2_34, Release
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.commands import run
from tests.support.factories import DAY_NS, make_user
from tests.support.servers.mail_server import Mailbox, mail_server, mailers
from tokens.models import TokenConfig
from tokens.token_format import TokenParts
from tokens.verification.batches import Wanted
from users import erasure
from users.models import User
from users.permissions import KeyIdentity

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIST = "/admin/beside/codertoken/"


@pytest.fixture(autouse=True)
def _enforced(coder: StandInCoder, settings: Any) -> None:
    settings.CODER_TOKEN_POLICY = "enforce"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        settings.MAILERS = mailers(mailbox.port)
        settings.DEFAULT_FROM_EMAIL = "coder@example.com"
        yield mailbox


@pytest.fixture
def ada(coder: StandInCoder) -> Key:
    """A token that lives longer than a day, which the policy of the deployment forbids."""
    TokenConfig.objects.create(max_lifetime_ns=DAY_NS)
    return coder.add(Key(Person("ada"), name="c\0i", lifetime_seconds=90_000))


def apply(*, after: timedelta = timedelta(0), **bounds: Any) -> dict[str, str]:
    """Applies the policy at this time after NOW. Returns the actions by the names of the tokens."""
    steps = token_policy.apply(NOW + after, **{"pause_seconds": 0.0, **bounds})
    return {step.token.token_name: str(step.action) for step in steps}


def expiring(release: Release) -> list[str]:
    """Returns the method that ends a token: a release that cannot expire it deletes it."""
    return ["PUT"] if release.expire == 204 else ["DELETE"]


def writes(coder: StandInCoder) -> list[str]:
    return [method for method, _ in coder.seen if method != "GET"]


def entries() -> list[tuple[str, str]]:
    return list(Entry.objects.order_by("id").values_list("action", "target_name"))


def test_limits_depend_on_the_user_and_the_roles(coder: StandInCoder, release: Release) -> None:
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=DAY_NS)
    TokenConfig.objects.create(user=make_user(username="ada"), allowed_scopes=["api_key:*"])
    TokenConfig.objects.create(max_live_tokens=1)
    ada, bob, eve = Person("Ada"), Person("bob", ("auditor",)), Person("eve", ("template-admin",))
    for person, name, more in (
        (ada, "full", {}),
        (ada, "narrow", {"scopes": ("api_key:read",), "last_used": "2026-02-01T00:00:00Z"}),
        (bob, "long", {"lifetime_seconds": 86_401}),
        (eve, "new", {"lifetime_seconds": 10**9, "last_used": "2026-02-01T00:00:00Z"}),
        (eve, "old", {"last_used": None}),
        (eve, "expired", {"expires_at": "2026-01-01T00:00:00Z"}),
    ):
        coder.add(Key(person, name=name, **more))
    apply()
    second = "it is number 2 by last use, the maximum is 1 live token"
    scope = "the scope coder:all is not allowed"
    assert {one.token_name: "; ".join(one.violations) for one in CoderToken.objects.all()} == {
        "full": f"{scope}; {second}",
        "narrow": "" if release.enforces_scopes else scope,
        "long": "its lifetime is 1 day 1 second, the maximum is 1 day",
        "new": "",
        "old": second,
    }
    assert CoderToken.objects.get(token_name="old").last_used is None


@pytest.mark.parametrize("identity", ["own", "coder"])
def test_policy_of_a_copy_belongs_to_its_id(
    coder: StandInCoder, settings: Any, identity: str
) -> None:
    settings.USER_SOURCE = identity
    ada, eve = Person("ada"), Person("eve")
    mirror(read_person(ada.as_json()))
    TokenConfig.objects.create(user_id=ada.id, max_lifetime_ns=DAY_NS)
    # Users of Coder can rename themselves.
    ada.username, eve.username = "eve", "ada"
    for person, name in ((ada, "of ada"), (eve, "of eve")):
        coder.add(Key(person, name=name, lifetime_seconds=90_000))
    assert apply() == {"of ada": "report"}


def test_token_is_reported_and_expires_a_day_later(coder: StandInCoder, ada: Key) -> None:
    service = next(iter(coder.keys.values()))
    service.lifetime_seconds = 10**9
    assert apply() == {"ci": "report"}
    assert apply(after=HOUR) == {"ci": "wait"}
    assert writes(coder) == []
    assert apply(after=DAY) == {"ci": "expire"}
    assert list(coder.keys.values()) == [service]
    path = f"/api/v2/users/{ada.person.id}/keys/{ada.id}"
    expired = ("PUT", f"{path}/expire") if coder.release.expire == 204 else ("DELETE", path)
    assert expired in coder.seen
    assert not CoderToken.objects.exists()
    assert entries() == [("coder_token.expire", "ci of ada")]
    assert apply(after=2 * DAY) == {}


def test_token_is_reported_again_after_days_without_a_run(coder: StandInCoder, ada: Key) -> None:
    # Neither options nor policies of other roles are a policy for this token.
    TokenConfig.objects.create(role="auditor", max_lifetime_ns=1)
    assert [apply(after=days * DAY) for days in (0, 3, 4)] == [
        *({"ci": "report"}, {"ci": "report"}, {"ci": "expire"})
    ]


def test_only_enforce_changes_tokens(coder: StandInCoder, ada: Key, settings: Any) -> None:
    settings.CODER_TOKEN_POLICY = "report"
    for days in range(3):
        apply(after=days * DAY)
    assert writes(coder) == []
    assert CoderToken.objects.get().violation_found_at == NOW
    settings.CODER_TOKEN_POLICY = "enforce"
    assert apply(after=3 * DAY) == {"ci": "expire"}


def test_end_of_a_violation_ends_the_report(coder: StandInCoder, ada: Key) -> None:
    apply()
    TokenConfig.objects.update(max_lifetime_ns=2 * DAY_NS)
    assert apply(after=DAY) == {}
    TokenConfig.objects.update(max_lifetime_ns=DAY_NS)
    assert apply(after=2 * DAY) == {"ci": "report"}
    del coder.keys[ada.token]
    apply(after=3 * DAY)
    assert not CoderToken.objects.exists()


def test_user_is_warned_once_a_day_before(
    coder: StandInCoder, ada: Key, settings: Any, mailbox: Mailbox
) -> None:
    assert apply() == {"ci": "report"}
    working, settings.MAILERS = settings.MAILERS, mailers(1)
    assert apply(after=HOUR) == {"ci": "warn"}  # It cannot be sent.
    settings.MAILERS = working
    late = coder.add(Key(ada.person, name="late", lifetime_seconds=90_000, last_used=None))
    assert apply(after=DAY) == {"ci": "warn", "late": "report"}
    assert apply(after=DAY + HOUR) == {"ci": "wait", "late": "wait"}
    text = "\n".join(mailbox.lines)
    assert f"* ci, id {ada.id}: its lifetime is 1 day 1 hour, the maximum is 1 day" in text
    assert "Last used: 2026-01-02 03:04 UTC" in text
    assert f"will be expired after {NOW + 2 * DAY:%Y-%m-%d %H:%M} UTC" in text
    assert apply(after=2 * DAY) == {"ci": "expire", "late": "warn"}
    assert apply(after=3 * DAY) == {"late": "expire"}
    text = "\n".join(mailbox.lines)
    assert text.lower().count("rcpt to:<ada@example.com>") == 2
    assert [text.count(key.id) for key in (ada, late)] == [1, 1]
    assert text.count("Last used: never") == 1
    secrets = [key.token[11:] for key in (ada, late, *coder.keys.values())]
    assert not [secret for secret in secrets if secret in text]
    assert [action for action, _ in entries()] == [
        f"coder_token.{action}" for action in ("warn", "warn", "expire", "expire")
    ]


@pytest.mark.parametrize("release", [*RELEASES, *OTHER_RELEASES], ids=str)
def test_each_release_of_coder_is_supported(
    coder: StandInCoder, ada: Key, release: Release
) -> None:
    narrow = coder.add(Key(ada.person, name="narrow", scopes=("application_connect",)))
    coder.add(Key(ada.person, name="expired", expires_at="2026-01-01T00:00:00Z"))
    for key, scopes in ((ada, ("coder:all",)), (narrow, ())):
        parts = TokenParts(*key.token.split("-"))
        wanted = Wanted(parts, key.token.encode(), timezone.now(), "")
        identity = CoderIdentity().look_up(wanted)
        assert isinstance(identity, KeyIdentity)
        assert identity.scopes == scopes
    assert apply() == {"ci": "report"}
    assert {str(one): one.scopes for one in CoderToken.objects.all()} == {
        "ci of ada": ["coder:all"],
        "narrow of ada": ["coder:application_connect"],
    }
    assert apply(after=DAY) == {"ci": "expire"}
    assert writes(coder) == ["POST"] * 2 + expiring(release)
    assert ada.token not in coder.keys


def test_a_run_expires_a_limited_number_and_pauses(coder: StandInCoder, ada: Key) -> None:
    for name in ("b", "c"):
        coder.add(Key(ada.person, name=name, lifetime_seconds=90_000))
    apply()
    begun = time.monotonic()
    expired = apply(after=DAY, max_expired=2, pause_seconds=0.5)
    assert sorted(expired.values()) == ["expire", "expire", "wait"]
    assert time.monotonic() - begun >= 0.5
    assert list(apply(after=DAY + HOUR).values()) == ["expire"]


def test_build_from_source_that_cannot_expire_tokens_deletes_them(
    coder: StandInCoder, ada: Key
) -> None:
    coder.release = replace(coder.release, expire=404)
    coder.version = "v0.0.0-devel+5bd9cd1"
    apply()
    assert apply(after=DAY) == {"ci": "expire"}
    assert writes(coder) == ["PUT", "DELETE"]
    assert ada.token not in coder.keys


@pytest.mark.parametrize("release", [V2_34], ids=str)
def test_next_run_continues_after_a_failure(
    coder: StandInCoder, ada: Key, release: Release
) -> None:
    apply()
    coder.release = replace(coder.release, expire=500)
    with pytest.raises(JobFailedError, match="1 token could not be expired"):
        apply(after=DAY)
    actions = [action for action, _ in entries()]
    assert actions == ["coder_token.expire", "coder_token.expire_failed"]
    coder.release = release
    assert apply(after=DAY + HOUR) == {"ci": "expire"}
    assert ada.token not in coder.keys


@pytest.mark.parametrize(
    ("fault", "error"), [("500", "status 500"), ("html", "not JSON"), ("redirect", "status 302")]
)
def test_fault_of_coder_is_the_error_of_the_run(
    coder: StandInCoder, ada: Key, fault: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    apply()
    coder.fault = fault
    found = run_job(find(token_policy.JOB), NOW + DAY)
    assert found is not None
    assert error in found.error
    assert CoderToken.objects.get().read_at == NOW
    assert next(iter(coder.keys)) not in f"{found.error} {caplog.text}"


EVE = Person("eve")


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("release", [V2_34], ids=str)
@pytest.mark.parametrize(
    ("key", "error"),
    [
        (Key(EVE, name="odd", lifetime_seconds=[1]), "unknown form: TypeError"),  # type: ignore[arg-type]
        (Key(EVE, name="odd", last_used="yesterday"), "unknown form: ValueError"),
        (Key(EVE, name="odd", scopes=(1,)), "unknown form: TypeError"),  # type: ignore[arg-type]
        (Key(EVE, name="odd", token="../../../-x"), "unknown form: ValueError"),
    ],
)
def test_odd_token_fails_the_run(coder: StandInCoder, key: Key, error: str) -> None:
    coder.add(key)
    with pytest.raises(JobFailedError, match=error):
        apply()


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (Key(EVE), "must belong to a user with the role owner"),
        (Key(Person("eve", roles=("owner",)), scopes=("application_connect",)), "status 404 for"),
    ],
)
def test_service_token_must_read_all_tokens(
    coder: StandInCoder, settings: Any, key: Key, error: str
) -> None:
    settings.CODER_TOKEN = coder.add(key).token
    with pytest.raises(JobFailedError, match=error):
        apply()


def test_users_are_read_page_by_page(coder: StandInCoder, ada: Key) -> None:
    coder.add(Key(Person("zoe"), name="last", lifetime_seconds=90_000))
    assert apply(users_per_page=1) == {"ci": "report", "last": "report"}
    assert coder.count("/api/v2/users") == 4


def test_dry_run_changes_nothing(coder: StandInCoder, ada: Key, settings: Any) -> None:
    settings.CODER_TOKEN_POLICY = "off"
    line = json.loads(run("apply_coder_token_policy", "--dry-run", "--json"))
    assert (line["id"], line["action"]) == (ada.id, "report")
    assert not CoderToken.objects.exists()
    with pytest.raises(CommandError, match="is off"):
        run("apply_coder_token_policy")
    settings.CODER_TOKEN_POLICY = "enforce"
    CoderToken.objects.all().delete()
    apply(after=-DAY)
    would = run("apply_coder_token_policy", "--dry-run")
    assert would.endswith("1 token of Coder violates the token policy; 1 would be expired now.")
    assert writes(coder) == []
    assert run("apply_coder_token_policy").endswith("1 expired.")
    assert writes(coder) == expiring(coder.release)
    settings.CODER_TOKEN = ""
    with pytest.raises(CommandError, match="Set CODERAPI_CODER_URL"):
        run("apply_coder_token_policy", "--dry-run")


def test_admin_lists_the_tokens(coder: StandInCoder, ada: Key, settings: Any) -> None:
    coder.add(Key(ada.person, name="short", last_used=None))
    apply()
    browser = browser_of(make_user("auditor"))
    page = browser.get(LIST, {"_facets": "True"}).text
    assert page.count(">never<") == 1
    assert "its lifetime is 1 day 1 hour" in page
    assert "yes (1)" in page
    found = browser.get(LIST, {"violation_found_at__isempty": "1", "q": "short"}).text
    assert "ci" not in found.split("<tbody>")[1]
    assert browser.post(f"{LIST}{ada.id}/change/").status_code == 403
    assert ada.id in browser.get(f"{LIST}{ada.id}/change/").text
    settings.CODER_TOKEN_POLICY = "off"
    assert LIST in browser.get("/admin/").text
    settings.CODER_URL = ""
    assert LIST not in browser.get("/admin/").text


def test_erasing_a_user_erases_the_tokens(ada: Key) -> None:
    apply()
    rule = token_policy.CODER_TOKENS
    # A user of this service who has the name, and a copy that has a substitute for it.
    for user in (User(username="ada"), User(id=ada.person.id, username="coder-1")):
        assert erasure.survey(user, [rule]) == [(rule, 1)]
