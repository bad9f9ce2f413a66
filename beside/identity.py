"""Asks Coder for the user and the permissions of a session token.

A lookup sends up to two requests to Coder, with the token in Coder's own header:

* `POST /authcheck` returns what this token may do. The answer takes custom roles, the scopes and
  the allow list of the token into account. Coder rejects revoked tokens and suspended users here.
* `GET /users/me` returns the user. For most tokens with limited scopes or an allow list (*narrowed*
  tokens), it returns 404. Such a token is valid, but its user is unknown. This request is sent only
  if the answer to the first request has changed, or if the stored user is more than five minutes
  old.

Coder does not return the scopes of a token. A token has full access if it may do the
three actions of `FULL`, because only the scope `coder:all` includes the last one. A token without
full access has no roles, so a narrowed token of an owner never counts as an owner. It may do only
what Coder allows. A token with full access has a role if Coder allows all actions of `SITE` that
belong to the role.

The answer is cached for 10 seconds, and a rejection for 2 seconds. So a token that was revoked in
Coder is rejected here within 10 seconds. The keys of the cache are keyed hashes of tokens.

**A slow Coder.** Each request has a deadline of its own. A request with a new token waits a few
seconds, and then gets a 503 error; the lookup goes on, so that a repeated request finds its
result. A request with a known token waits half a second for a newer answer. Then it uses the known
one, which may be up to two minutes old. The breaker does not stop the lookups of known tokens.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import index
from typing import Any
from urllib.parse import quote

from prometheus_client import Counter

from beside import client
from beside.client import CoderAnswer, CoderUnavailableError
from beside.user_copies import mirror, read_person
from kernel.failures import Failures
from kernel.http.errors import APIError, not_found, unavailable
from kernel.memory import CachedValue, Memory
from kernel.release import PROGRAM
from tokens.verification import refusals
from tokens.verification.batches import Found, Wanted
from users.models import User
from users.permissions import KeyIdentity
from users.roles import MEMBER_PERMISSIONS, OWNER, PERMISSIONS
from users.scopes import ALL
from users.selectors import user_by_id

AUTHCHECK, ME = "/api/v2/authcheck", "/api/v2/users/me"
ACCEPTED_SECONDS = 10.0
# A changed name or a changed role without effect on the permissions may be this old.
PERSON_SECONDS = 300.0
REJECTED_SECONDS = 2.0
# The maximum age of an accepted token while Coder gives no newer answer in time.
KNOWN_SECONDS = 120.0
# After a failure, Coder is not asked about the same token again for this long.
RETRY_SECONDS = 1.0
KNOWN_RETRY_SECONDS = 5.0
# The document with this limit is cached for the same time again.
LIMIT_SECONDS = 30.0

# The actions on all objects for which this service asks Coder.
SITE = frozenset(
    {"deployment_config:read", "deployment_config:update", "deployment_stats:read"}
    | {"audit_log:read", "user:read", "user:delete"}
)
# The actions on the caller's own objects that a token with full access may do.
FULL = frozenset({"api_key:create", "user:update_personal", "notification_preference:update"})
# The actions on the caller's own objects that a narrowed token may do here.
NARROWED = frozenset({"user:read", "api_key:read"})
# The actions of SITE that Coder must allow for each role.
NEEDED = {OWNER: SITE} | {role: SITE & actions for role, actions in PERMISSIONS.items()}


def _check(action: str, **target: str) -> dict[str, Any]:
    kind, _, verb = action.partition(":")
    return {"object": {"resource_type": kind, **target}, "action": verb}


# The names of the checks of own objects begin with this.
OWN = "own "
CHECKS: dict[str, Any] = {
    **{action: _check(action) for action in SITE},
    **{OWN + action: _check(action, owner_id="me") for action in FULL | NARROWED},
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Coder's last answer about a token: the identity, the permissions and the person.

    `accepted_at` is the monotonic time of the request in which Coder last accepted the token, and
    `asked_at` that of the request for the person.
    """

    found: Found
    allowed: frozenset[str] = frozenset()
    person: User | None = None
    asked_at: float = float("-inf")
    accepted_at: float = float("-inf")

    @property
    def known_until(self) -> float:
        return self.accepted_at + KNOWN_SECONDS


ANSWERS: Memory[bytes, Answer] = Memory("answers of Coder", capacity=20_000)
LIMITS: Memory[tuple[uuid.UUID, str], int] = Memory(
    "token limits of Coder",
    capacity=10_000,
    max_age=LIMIT_SECONDS,
    busy=lambda _: _unavailable("Coder responds too slowly"),
)
CHECKED = Counter(
    "coderapi_coder_token_checks",
    "Session tokens that Coder was asked about, by outcome: accepted, rejected or unavailable.",
    ["outcome"],
)
FAILURES = Failures("A session token cannot be checked: %s")


@dataclass(slots=True)
class CoderIdentity:
    """Implements `tokens.verification.providers.IdentityProvider` with Coder.

    `request_seconds` is the deadline of each request to Coder.
    """

    request_seconds: float = 5.0
    new_seconds: float = 3.0
    known_seconds: float = 0.5

    def recall(self, fingerprint: bytes) -> Found | None:
        answer = ANSWERS.get(fingerprint)
        return answer.found if answer else None

    def known(self, fingerprint: bytes) -> Found | None:
        answer = ANSWERS.latest(fingerprint)
        return answer.found if answer and time.monotonic() < answer.known_until else None

    def look_up(self, wanted: Wanted) -> Found:
        ask = partial(
            client.ask,
            token=wanted.parts.token,
            seconds=self.request_seconds,
            client_address=wanted.address,
            passes_breaker=self.known(wanted.fingerprint) is not None,
        )
        generation, last = ANSWERS.generation, ANSWERS.latest(wanted.fingerprint)
        answer = _answer(ask, wanted.parts.key_id, last)
        ANSWERS.keep({wanted.fingerprint: answer}, generation=generation)
        return answer.value.found

    def too_slow(self) -> APIError:
        return _unavailable("Coder responds too slowly")

    def max_token_lifetime(self, token: str, caller: KeyIdentity, user: str) -> int:
        key = caller.user_id, user
        return LIMITS.load(key, lambda: CachedValue(_limit(token, user, LIMITS.latest(key))))


def _unavailable(reason: str) -> APIError:
    """Builds the error while Coder does not respond as expected. Logs the reason."""
    since = FAILURES.add(reason)
    return unavailable(
        f"{reason.rstrip('.')}. Coder has not responded as expected since "
        f"{since:%Y-%m-%d %H:%M} UTC. An operator can find the cause with "
        f"`{PROGRAM} check_coder`."
    )


def _answer(
    ask: Callable[..., CoderAnswer], key_id: str, last: Answer | None
) -> CachedValue[Answer]:
    """Asks Coder. If it fails, returns a known answer again, or the error."""
    begun = time.monotonic()
    try:
        answer = _identify(ask, key_id, last, begun)
    except CoderUnavailableError as error:
        CHECKED.labels("unavailable").inc()
        failed, now = Answer(_unavailable(str(error))), time.monotonic()
        if last is None or now >= last.known_until:
            return CachedValue(failed, max_age=RETRY_SECONDS)
        return CachedValue(last, max_age=min(KNOWN_RETRY_SECONDS, last.known_until - now))
    FAILURES.end()
    rejected = isinstance(answer.found, APIError)
    CHECKED.labels("rejected" if rejected else "accepted").inc()
    return CachedValue(
        answer, max_age=REJECTED_SECONDS if rejected else ACCEPTED_SECONDS, read_at=begun
    )


def _identify(
    ask: Callable[..., CoderAnswer], key_id: str, last: Answer | None, begun: float
) -> Answer:
    """Asks Coder, and stores the user if Coder was asked for it. Raises: CoderUnavailableError."""
    checked = ask(AUTHCHECK, method="POST", body={"checks": CHECKS})
    if checked.status == 401:
        return Answer(_refusal(checked))
    allowed = checked.read(
        lambda found: frozenset(name for name in CHECKS if found.get(name) is True)
    )
    if (
        last is not None
        and allowed == last.allowed
        and time.monotonic() < last.asked_at + PERSON_SECONDS
        # The copy of the user may have been deleted.
        and (last.person is None or user_by_id(last.person.id) is not None)
    ):
        return replace(last, accepted_at=begun)
    asked_at = time.monotonic()
    me = ask(ME)
    if me.status == 401:
        return Answer(_refusal(me))
    person = me.read(read_person) if me.status != 404 else None
    if person is not None:
        # If the username is in use here, the copy has a substitute. The audit trail shows it.
        mirror(person)
    return Answer(_identity_of(key_id, allowed, person), allowed, person, asked_at, begun)


def _refusal(answer: CoderAnswer) -> APIError:
    message = answer.value.get("message") if isinstance(answer.value, dict) else ""
    return refusals.suspended() if "not active" in str(message) else refusals.unknown()


def _identity_of(key_id: str, allowed: frozenset[str], person: User | None) -> KeyIdentity:
    site, own = allowed & SITE, {name.removeprefix(OWN) for name in allowed - SITE}
    is_full = person is not None and own >= FULL
    roles = frozenset(
        role for role in (person.roles if person and is_full else ()) if NEEDED[role] <= site
    )
    granted = site
    if OWNER in roles:
        granted = frozenset({"*"})
    elif is_full:
        # Coder does not know our CSP reports.
        reports = {"csp_report:read"} if "audit_log:read" in site else set()
        granted = site | MEMBER_PERMISSIONS | reports
    return KeyIdentity(
        # Without a user, the requests of the token are counted separately.
        user_id=person.id if person else uuid.uuid5(uuid.NAMESPACE_OID, key_id),
        username=person.username if person else "",
        roles=roles,
        key_id=key_id,
        scopes=(ALL,) if is_full else tuple(site | (own & NARROWED if person else set())),
        granted=granted,
        # Coder checks the expiry.
        expires_at=datetime.max.replace(tzinfo=UTC),
        lifetime_ns=0,
        is_minted=True,
    )


def _limit(token: str, user: str, last: int | None) -> int:
    """Returns Coder's maximum lifetime of a user's tokens, in ns, or the last one if Coder fails.

    Raises: APIError 404, or 503 without a last one.
    """
    path = f"/api/v2/users/{quote(user, safe='')}/keys/tokens/tokenconfig"
    try:
        answer = client.ask(path, token=token)
        if answer.status in {400, 404}:
            raise not_found()
        return answer.read(lambda found: index(found["max_token_lifetime"]))
    except CoderUnavailableError as error:
        failed = _unavailable(str(error))
        if last is None:
            raise failed from None
        return last
