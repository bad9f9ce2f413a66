"""Making the keys that a request asks for, within the policy. A refusal says which rule won."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from audit.services import Actor
from kernel.db.connections import transaction_lock
from kernel.durations import format_duration
from kernel.http.errors import APIError, Validation, forbidden, invalid
from tokens import policy, token_format
from tokens.models import APIKey
from tokens.policy import Policy
from tokens.services import NewKey, create_api_key
from users import allow_lists, scopes
from users.allow_lists import EVERYTHING, AllowList
from users.models import User
from users.permissions import KeyIdentity
from users.roles import OWNER


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
    require_may_mint_for(user, caller)
    limits = policy.policy_of(user)
    require_minting(limits, caller)
    lifetime_ns = _lifetime(wanted.lifetime_ns, limits)
    chosen = _scopes(wanted, limits, caller)
    allowed = _allow_list(wanted.allow_list, caller)
    name = _name(wanted.token_name)
    with transaction.atomic(), _counting(limits, user):
        _require_room(limits, user, now)
        return _create(
            user,
            lifetime_ns=lifetime_ns,
            token_name=name,
            scopes=chosen,
            allow_list=allowed,
            actor=actor,
            now=now,
        )


def create_session_key(user: User, *, caller: KeyIdentity, actor: Actor, now: datetime) -> NewKey:
    """Makes a key as signing in does, with the default lifetime of tokens.

    Raises: APIError 403 for what the caller or the policy forbids.
    """
    require_may_mint_for(user, caller)
    limits = policy.policy_of(user)
    require_minting(limits, caller)
    chosen = _scopes(Wanted(), limits, caller)
    return create_api_key(
        user,
        lifetime_ns=limits.default_token_lifetime,
        scopes=chosen,
        allow_list=_allow_list((), caller),
        actor=actor,
        now=now,
    )


def require_may_mint_for(user: User, caller: KeyIdentity) -> None:
    if user.id != caller.user_id and not caller.has_role(OWNER):
        raise forbidden("Only an owner may make keys for somebody else.")


def require_minting(limits: Policy, caller: KeyIdentity) -> None:
    """Raises: APIError 403 if the caller's key was made by hand and such keys may make none."""
    limit = limits[policy.MINTING]
    if caller.minted and not limit.value:
        raise forbidden(f"A token may not make keys: {limit.explanation()}. Sign in instead.")


def _lifetime(wanted_ns: int, limits: Policy) -> int:
    if wanted_ns < 0:
        raise invalid(Validation("lifetime", "The lifetime must not be below 0."))
    if wanted_ns > limits.max_token_lifetime:
        limit = limits[policy.MAX_LIFETIME]
        detail = f"lifetime must be less than {format_duration(limit.value)}"
        raise APIError(
            400,
            "The lifetime is over the limit.",
            detail=f"{detail} ({limit.explanation()})",
            validations=[Validation("lifetime", detail)],
        )
    return wanted_ns or limits.default_token_lifetime


def _scopes(wanted: Wanted, limits: Policy, caller: KeyIdentity) -> list[str]:
    """Returns the wanted scopes: known, allowed by the policy, none that the caller's key lacks."""
    chosen = list(dict.fromkeys(scopes.canonical(name) for name in wanted.scopes)) or [scopes.ALL]
    unknown = [name for name in chosen if name not in scopes.KNOWN]
    if unknown:
        known = ", ".join(sorted(scopes.KNOWN))
        detail = f"{unknown[0][:64]!r} is not a scope; there are {known}."
        raise invalid(Validation(wanted.scopes_member, detail))
    limit = limits[policy.SCOPES]
    if limit.value is not None and (over := set(chosen) - scopes.within(chosen, limit.value)):
        detail = f"{', '.join(sorted(over))} is not allowed"
        raise APIError(
            400,
            "A scope is not allowed.",
            detail=f"{detail} ({limit.explanation()})",
            validations=[Validation(wanted.scopes_member, detail)],
        )
    if scopes.within(chosen, caller.scopes) != frozenset(chosen):
        raise forbidden("A key cannot make another whose scopes are wider than its own.")
    return chosen


def _allow_list(wanted: Sequence[object], caller: KeyIdentity) -> AllowList:
    if len(wanted) > allow_lists.MAX_ENTRIES:
        most = allow_lists.MAX_ENTRIES
        raise invalid(Validation("allow_list", f"At most {most} entries are allowed."))
    try:
        chosen = tuple(dict.fromkeys(allow_lists.parse_entry(entry) for entry in wanted))
    except ValueError as error:
        raise invalid(Validation("allow_list", str(error))) from None
    chosen = chosen or EVERYTHING
    if not allow_lists.is_within(chosen, caller.allow_list):
        raise forbidden("A key cannot make another whose allow list is wider than its own.")
    return chosen


def _name(wanted: str) -> str:
    problem = token_format.name_problem(wanted) if wanted else ""
    if problem:
        raise invalid(Validation("token_name", problem))
    return wanted or token_format.random_name()


def _counting(limits: Policy, user: User) -> AbstractContextManager[None]:
    """Lets requests wait for each other where tokens are counted: two would see the last room."""
    unlimited = limits[policy.MAX_LIVE].value is None
    return nullcontext() if unlimited else transaction_lock(f"tokens:{user.id}")


def _require_room(limits: Policy, user: User, now: datetime) -> None:
    limit = limits[policy.MAX_LIVE]
    if limit.value is None:
        return
    count = APIKey.objects.tokens().live(now).filter(user=user).count()
    if count >= limit.value:
        raise APIError(
            400,
            "There are too many live tokens.",
            detail=f"{count} live tokens of at most {limit.value} ({limit.explanation()}). "
            "Delete or expire one first.",
        )


def _create(
    user: User,
    *,
    lifetime_ns: int,
    token_name: str,
    scopes: Sequence[str],
    allow_list: AllowList,
    actor: Actor,
    now: datetime,
) -> NewKey:
    try:
        return create_api_key(
            user,
            lifetime_ns=lifetime_ns,
            token_name=token_name,
            scopes=scopes,
            allow_list=allow_list,
            login_type=APIKey.LoginType.TOKEN,
            actor=actor,
            now=now,
        )
    except IntegrityError as error:
        if "api_key_name_unique" not in str(error):
            raise
        raise APIError(
            409,
            f"A token named {token_name!r} exists already.",
            validations=[Validation("name", "This name is used already.")],
        ) from None
