"""Applies the token policies to the tokens of the Coder deployment.

Coder limits only the lifetime of a new token. A token policy of coderapi also limits the number of
live tokens and their scopes, for a user, a role or the whole deployment. The options of coderapi
are not applied, because Coder has its own options for this.

A run of the job reads all tokens and users of Coder with CODERAPI_CODER_TOKEN. It stores the
tokens without their secrets, and the limits that they violate. If CODERAPI_CODER_TOKEN_POLICY is
`enforce`, it also acts on tokens that an earlier run has already reported. So an operator sees each
violation first. If a mail server is configured, it sends an e-mail to the token's user. One day
after the e-mail, or after the report without a mail server, it expires the token.

A run never acts on the token in CODERAPI_CODER_TOKEN. The rows of the tokens contain the whole
state, so the next run continues a run that was stopped.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from audit.services import SYSTEM, Change, Target, record, record_all
from beside import client
from beside.client import MAX_BYTES, SECONDS, CoderUnavailableError, ask
from beside.models import CoderToken
from beside.user_copies import read_person, text_of
from jobs.registry import JobFailedError
from kernel.coder.releases import ENFORCES_SCOPES, EXPIRES_TOKENS, last_use
from kernel.text.humanize import plural
from kernel.text.values import parse_time
from tokens import jobs
from tokens.models import TokenConfig
from tokens.policy import resolution
from tokens.policy.changes import reasons_of
from users.erasure import ErasureRule
from users.models import User
from users.roles import OWNER
from users.scopes import canonical

JOB = "apply_coder_token_policy"
# After a longer pause between two runs, tokens are reported again before they expire.
MAX_PAUSE = timedelta(days=2)
GRACE = timedelta(days=1)
# Coder returns the tokens of all users in one response.
LIST_SECONDS = 30.0
MAX_USERS = 100_000
NO_LIMIT = 2**63 - 1
ID = re.compile(r"[A-Za-z0-9]{10}", re.ASCII)

logger = logging.getLogger(__name__)


class Action(StrEnum):
    """The next action of `enforce` on a token that violates the policy."""

    REPORT = "report"
    WARN = "warn"
    WAIT = "wait"
    EXPIRE = "expire"


class Step(NamedTuple):
    """A token that violates the policy, and the next action."""

    token: CoderToken
    action: Action


def is_on() -> bool:
    return bool(settings.CODER_TOKEN_POLICY != "off")  # noqa: S105 - not a password


def enforces() -> bool:
    return bool(settings.CODER_TOKEN_POLICY == "enforce")  # noqa: S105 - not a password


def apply(
    now: datetime,
    *,
    dry_run: bool = False,
    users_per_page: int = 100,
    max_expired: int = 200,
    pause_seconds: float = 0.2,
) -> list[Step]:
    """Reads Coder's tokens, reports violations, and acts on them if the policy is `enforce`.

    Returns the tokens that violate the policy, with the next action of `enforce`. With `dry_run`,
    changes nothing. Expires at most `max_expired` tokens, with a pause between two of them.
    Raises: JobFailedError if Coder does not respond as expected.
    """
    people, tokens = _people(users_per_page), _tokens(now)
    _judge(tokens, people)
    _remember_reports(tokens, now)
    steps = _plan(tokens, people, now, max_expired=max_expired)
    if not dry_run:
        with transaction.atomic():
            CoderToken.objects.all().delete()
            CoderToken.objects.bulk_create(tokens, batch_size=1_000)
        if enforces():
            _warn([token for token, action in steps if action is Action.WARN], people, now)
            expiring = [token for token, action in steps if action is Action.EXPIRE]
            _expire(expiring, now, pause=pause_seconds)
    return steps


# --- Reading ----------------------------------------------------------------------------------


def _get[T](path: str, convert: Callable[[Any], T], *, seconds: float = SECONDS) -> T:
    answer = ask(path, token=settings.CODER_TOKEN, seconds=seconds, max_bytes=MAX_BYTES)
    return answer.read(convert)


def service_token(now: datetime) -> CoderToken:
    """Returns the facts about CODERAPI_CODER_TOKEN, which must belong to an owner.

    Raises: CoderUnavailableError.
    """
    require_owner()
    return _get(f"/api/v2/users/me/keys/{_service_id()}", partial(_token, now=now))


def _service_id() -> str:
    return str(settings.CODER_TOKEN.partition("-")[0])


def require_owner() -> None:
    """Raises: CoderUnavailableError if CODERAPI_CODER_TOKEN cannot read all tokens of Coder."""
    if OWNER not in _get("/api/v2/users/me", read_person).roles:
        raise CoderUnavailableError(
            "CODERAPI_CODER_TOKEN must belong to a user with the role owner."
        )


def _people(per_page: int) -> dict[uuid.UUID, User]:
    """Returns the users of Coder by their ids. They are not stored."""
    require_owner()
    found: dict[uuid.UUID, User] = {}
    for offset in range(0, MAX_USERS, per_page):
        path = f"/api/v2/users?limit={per_page}&offset={offset}"
        page = _get(path, lambda found: [read_person(each) for each in found["users"]])
        found |= {person.id: person for person in page}
        if len(page) < per_page:
            break
    return found


def _tokens(now: datetime) -> list[CoderToken]:
    """Returns the live tokens of all users, except the service token."""
    listed = _get(
        "/api/v2/users/me/keys/tokens?include_all=true",
        lambda found: [_token(each, now) for each in found or ()],
        seconds=LIST_SECONDS,
    )
    return [each for each in listed if each.id != _service_id() and each.expires_at > now]


def _token(item: Any, now: datetime) -> CoderToken:
    is_enforced = ENFORCES_SCOPES.applies_to(client.version())
    scopes = (is_enforced and item.get("scopes")) or [item["scope"]]
    # The id becomes a part of URLs.
    if not ID.fullmatch(item["id"]):
        raise ValueError("the id is not valid")
    return CoderToken(
        id=item["id"],
        user_id=uuid.UUID(item["user_id"]),
        username=text_of(item.get("username"), 64),
        token_name=text_of(item["token_name"], 255),
        scopes=[canonical(scope)[:128] for scope in scopes],
        lifetime_ns=min(int(item["lifetime_seconds"]) * 10**9, NO_LIMIT),
        created_at=parse_time(item["created_at"]),
        last_used=last_use(item["last_used"]),
        expires_at=parse_time(item["expires_at"]),
        read_at=now,
    )


# --- Judging ----------------------------------------------------------------------------------


def _judge(tokens: Iterable[CoderToken], people: dict[uuid.UUID, User]) -> None:
    """Sets the `violations` of each token, and the username if Coder's list does not contain it.

    A token of a user who is not in the list was created after the list was read. The next run
    checks it.
    """
    configs = list(TokenConfig.objects.select_related("user"))
    for user_id, theirs in _by_user(tokens).items():
        if user_id not in people:
            continue
        limits = _limits(people[user_id], configs)
        theirs.sort(key=lambda token: token.id)
        theirs.sort(key=lambda token: token.last_used or token.created_at, reverse=True)
        for rank, token in enumerate(theirs, 1):
            token.username = token.username or people[user_id].username
            token.violations = list(reasons_of(token.lifetime_ns, token.scopes, rank, limits))


def _by_user(tokens: Iterable[CoderToken]) -> dict[uuid.UUID, list[CoderToken]]:
    found = defaultdict(list)
    for token in tokens:
        found[token.user_id].append(token)
    return found


def _limits(user: User, configs: list[TokenConfig]) -> resolution.Policy:
    """Returns the limits on the tokens of a user of Coder.

    A policy of a copy applies to its id, because users of Coder can rename themselves. With
    CODERAPI_USER_SOURCE=own, the policy of a user of this service applies to the same username.
    """
    if settings.USER_SOURCE == "own":
        for own in (config.user for config in configs if config.user is not None):
            if not own.is_copy and own.username == user.username:
                user.id = own.id
    limits = resolution.resolve(configs, user)
    lifetime = limits[resolution.MAX_LIFETIME]
    if lifetime.is_from_option:
        limits[resolution.MAX_LIFETIME] = replace(lifetime, value=NO_LIMIT)
    return limits


def _remember_reports(tokens: Iterable[CoderToken], now: datetime) -> None:
    """Sets the times of the report and of the warning. They end when the violation ends.

    A report also ends after two days without a run, for example because the policy was off.
    """
    recent = CoderToken.objects.filter(read_at__gte=now - MAX_PAUSE)
    stored = recent.exclude(violation_found_at=None).in_bulk()
    for token in tokens:
        if token.violations:
            before = stored.get(token.pk)
            token.violation_found_at = before.violation_found_at if before else now
            token.warned_at = before.warned_at if before else None


def _plan(
    tokens: Iterable[CoderToken], people: dict[uuid.UUID, User], now: datetime, *, max_expired: int
) -> list[Step]:
    violating = [token for token in tokens if token.violations]
    violating.sort(key=lambda token: (token.violation_found_at or now, token.username, token.id))
    # A user gets at most one e-mail a day.
    warned = {t.user_id for t in violating if t.warned_at and now - t.warned_at < GRACE}
    steps: list[Step] = []
    left = max_expired
    for token in violating:
        is_mailed = bool(people[token.user_id].email) and jobs.is_on()
        action = _action(token, now, is_mailed=is_mailed)
        left -= action is Action.EXPIRE
        is_over = action is Action.EXPIRE and left < 0
        if is_over or (action is Action.WARN and token.user_id in warned):
            action = Action.WAIT
        steps.append(Step(token, action))
    return steps


def _action(token: CoderToken, now: datetime, *, is_mailed: bool) -> Action:
    if token.violation_found_at is None or token.violation_found_at >= now:
        return Action.REPORT
    if is_mailed and token.warned_at is None:
        return Action.WARN
    since = token.warned_at or token.violation_found_at
    return Action.WAIT if now - since < GRACE else Action.EXPIRE


# --- Acting -----------------------------------------------------------------------------------


def _warn(tokens: Iterable[CoderToken], people: dict[uuid.UUID, User], now: datetime) -> None:
    """Sends each user an e-mail about their tokens. The next run retries failed e-mails."""
    for user_id, theirs in _by_user(tokens).items():
        try:
            with transaction.atomic():
                CoderToken.objects.filter(pk__in={t.pk for t in theirs}).update(warned_at=now)
                changes = [Change(_target(token), after=_facts(token)) for token in theirs]
                record_all("coder_token.warn", changes, actor=SYSTEM, now=now)
                _message(people[user_id], theirs, now).send()
        # ValueError: the address contains a line break.
        except (OSError, ValueError) as error:
            logger.warning("a warning to a user could not be sent: %s", type(error).__name__)


def _message(user: User, tokens: list[CoderToken], now: datetime) -> EmailMessage:
    count = plural(len(tokens), "session token")
    listed = "\n".join(
        f"* {token.token_name}, id {token.pk}: {'; '.join(token.violations)}\n"
        f"  Last used: {f'{token.last_used:%Y-%m-%d %H:%M} UTC' if token.last_used else 'never'}"
        for token in tokens
    )
    return EmailMessage(
        subject=f"{count} will be expired, because of the token policy",
        body=f"These session tokens of {user.username} on {settings.ACCESS_URL} violate the "
        f"token policy:\n\n{listed}\n\nThey will be expired after {now + GRACE:%Y-%m-%d %H:%M} "
        "UTC. Programs that use such a token need a new one before that time.\n",
        to=[user.email],
    )


def _expire(tokens: Iterable[CoderToken], now: datetime, *, pause: float) -> None:
    """Expires the tokens in Coder, at most five a second.

    The audit entry is written first, so that each request to Coder has an entry even if the process
    is killed. Raises: JobFailedError if a request failed.
    """
    problems = []
    for number, token in enumerate(tokens):
        if client.is_unavailable():
            break
        if number:
            time.sleep(pause)
        about: dict[str, Any] = {"actor": SYSTEM, "target": _target(token), "now": now}
        record("coder_token.expire", after=_facts(token), **about)
        try:
            _expire_in_coder(token)
        except CoderUnavailableError as error:
            problems.append(str(error))
            record("coder_token.expire_failed", after={"problem": str(error)}, **about)
        else:
            CoderToken.objects.filter(pk=token.pk).delete()
    if problems:
        count = plural(len(problems), "token")
        raise JobFailedError(f"{count} could not be expired: {problems[0]}")


def _expire_in_coder(token: CoderToken) -> None:
    """Expires the token in Coder. Raises: CoderUnavailableError."""
    path = f"/api/v2/users/{token.user_id}/keys/{token.pk}"
    if EXPIRES_TOKENS.applies_to(client.version()):
        answer = ask(f"{path}/expire", token=settings.CODER_TOKEN, method="PUT")
        # An old build from source counts as the newest release.
        if answer.status not in {404, 405}:
            answer.require_success()
            return
    ask(path, token=settings.CODER_TOKEN, method="DELETE").require_success()


def _target(token: CoderToken) -> Target:
    return Target("coder_token", token.pk, str(token)[:254], token.user_id, token.username)


def _facts(token: CoderToken) -> dict[str, Any]:
    return {
        "violations": token.violations,
        "scopes": token.scopes,
        "lifetime_ns": token.lifetime_ns,
    }


CODER_TOKENS = ErasureRule(
    data="tokens of the Coder deployment",
    outcome="erased here; the next run of the token policy reads those that still exist",
    rows=lambda user: CoderToken.objects.filter(Q(user_id=user.pk) | Q(username=user.username)),
    page=lambda user: reverse("admin:beside_codertoken_changelist", query={"q": user.username}),
)
