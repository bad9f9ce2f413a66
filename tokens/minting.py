"""Making the keys that a request asks for, within the policy. A refusal says which rule won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.services import Actor
from kernel.db.connections import commit_with_retry, transaction_lock
from kernel.durations import format_duration
from kernel.http.errors import APIError, Validation, forbidden, invalid
from tokens import policy, token_format
from tokens.models import APIKey
from tokens.policy import Limit, Policy
from tokens.services import NewKey, checked_name, create_api_key, unused_name
from users import allow_lists, scopes
from users.allow_lists import EVERYTHING, AllowList
from users.models import User
from users.permissions import KeyIdentity, require
from users.services import lock


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token as asked for. Units: `lifetime_ns` nanoseconds, 0 for the default.

    `scopes_member` is the member of the request that held the scopes.
    """

    lifetime_ns: int = 0
    token_name: str = ""
    scopes: tuple[str, ...] = ()
    scopes_member: str = "scopes"
    allow_list: tuple[object, ...] = ()


def create_token(
    user: User, wanted: Wanted, *, caller: KeyIdentity, actor: Actor, now: datetime
) -> NewKey:
    """Makes a token of the user.

    Raises: APIError 400 for what is malformed or over a limit, 403 for what the caller or the
    policy forbids, 409 for a used name.
    """
    return _create(user, wanted, caller=caller, actor=actor, now=now, is_named=True)


def create_session_key(user: User, *, caller: KeyIdentity, actor: Actor, now: datetime) -> NewKey:
    """Makes a key without a name and with the default lifetime, within the same limits.

    Raises: APIError as `create_token` does.
    """
    return _create(user, Wanted(), caller=caller, actor=actor, now=now, is_named=False)


def _create(
    user: User,
    wanted: Wanted,
    *,
    caller: KeyIdentity,
    actor: Actor,
    now: datetime,
    is_named: bool,
) -> NewKey:
    """Makes the key if there is room, once: one whose commit had no answer is looked for."""
    parts = token_format.generate()

    def make() -> NewKey:
        with transaction_lock(policy.LOCK, shared=True):
            limits = _limits(user, caller)
            name = _name(wanted.token_name) if is_named else ""
            lifetime_ns = _lifetime(wanted.lifetime_ns, limits)
            scopes = _scopes(wanted, limits, caller)
            allow_list = _allow_list(wanted.allow_list, caller)
            _require_room(limits, user, now)
            return create_api_key(
                user,
                lifetime_ns=lifetime_ns,
                token_name=name,
                scopes=scopes,
                allow_list=allow_list,
                minted=True,
                parts=parts,
                actor=actor,
                now=now,
            )

    def made() -> NewKey | None:
        # The lost transaction holds the user's row until it ends.
        list(User.objects.select_for_update().filter(pk=user.pk))
        key = APIKey.objects.filter(pk=parts.key_id).first()
        return NewKey(key, parts.token) if key else None

    with unused_name(wanted.token_name):
        return commit_with_retry(make, earlier=made)


def _limits(user: User, caller: KeyIdentity) -> Policy:
    """Returns the limits on the user's keys. Raises: APIError 403, 404 where none may be made."""
    require(caller, "api_key:create", on=user)
    limits = policy.policy_of(user)
    limit = limits[policy.MINTING]
    if caller.minted and not limit.value:
        raise forbidden(f"A token may not make keys: {limit.explanation()}. Sign in instead.")
    return limits


def _lifetime(wanted_ns: int, limits: Policy) -> int:
    limit = limits[policy.MAX_LIFETIME]
    if wanted_ns < 0:
        raise invalid(Validation("lifetime", "The lifetime must not be below 0."))
    if wanted_ns > limit.value:
        detail = f"lifetime must be less than {format_duration(limit.value)}"
        raise _over("The lifetime is over the limit.", "lifetime", detail, limit)
    return wanted_ns or limits.default_token_lifetime


def _over(message: str, member: str, detail: str, limit: Limit) -> APIError:
    explained = f"{detail} ({limit.explanation()})"
    return APIError(400, message, detail=explained, validations=[Validation(member, detail)])


def _scopes(wanted: Wanted, limits: Policy, caller: KeyIdentity) -> list[str]:
    """Returns the wanted scopes: known, allowed by the policy, none that the caller's key lacks."""
    chosen = list(dict.fromkeys(scopes.canonical(name) for name in wanted.scopes)) or [scopes.ALL]
    member, limit = wanted.scopes_member, limits[policy.SCOPES]
    unknown = [name for name in chosen if name not in scopes.KNOWN]
    if unknown:
        known = ", ".join(sorted(scopes.KNOWN))
        detail = f"{unknown[0][:64]!r} is not a scope; there are {known}."
        raise invalid(Validation(member, detail))
    if limit.value is not None and (over := set(chosen) - scopes.within(chosen, limit.value)):
        detail = f"{', '.join(sorted(over))} is not allowed"
        raise _over("A scope is not allowed.", member, detail, limit)
    if scopes.within(chosen, caller.scopes) != frozenset(chosen):
        raise forbidden("A key cannot make another whose scopes are wider than its own.")
    return chosen


def _allow_list(wanted: Sequence[object], caller: KeyIdentity) -> AllowList:
    try:
        parsed = dict.fromkeys(allow_lists.parse_entry(entry) for entry in wanted)
    except ValueError as error:
        raise invalid(Validation("allow_list", str(error))) from None
    chosen = tuple(parsed) or EVERYTHING
    if not allow_lists.is_within(chosen, caller.allow_list):
        raise forbidden("A key cannot make another whose allow list is wider than its own.")
    return chosen


def _name(wanted: str) -> str:
    return checked_name(wanted) if wanted else token_format.random_name()


def _require_room(limits: Policy, user: User, now: datetime) -> None:
    """Counts the user's keys, and holds the user's row, so that no two see the last room."""
    limit = limits[policy.MAX_LIVE]
    if limit.value is None:
        return
    lock(user)
    count = APIKey.objects.minted().live(now).filter(user=user).count()
    if count >= limit.value:
        raise APIError(
            400,
            "There are too many live tokens.",
            detail=f"{count} live tokens of at most {limit.value} ({limit.explanation()}). "
            "Delete or expire one first.",
        )
