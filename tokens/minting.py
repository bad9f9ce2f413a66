"""Making the keys that a request asks for, within the policy. A refusal says which rule won."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from audit.services import Actor
from kernel.durations import format_duration
from kernel.http.errors import APIError, Validation, forbidden, invalid
from tokens import policy, token_format
from tokens.models import APIKey
from tokens.policy import Policy
from tokens.services import NewKey, create_api_key
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
    limits = _limits(user, caller)
    lifetime_ns = _lifetime(wanted.lifetime_ns, limits)
    name = _name(wanted.token_name)
    scopes = _scopes(wanted, limits, caller)
    allow_list = _allow_list(wanted.allow_list, caller)
    with _room(limits, user, now), _unused(name):
        return create_api_key(
            user,
            lifetime_ns=lifetime_ns,
            token_name=name,
            scopes=scopes,
            allow_list=allow_list,
            login_type=APIKey.LoginType.TOKEN,
            actor=actor,
            now=now,
        )


def create_session_key(user: User, *, caller: KeyIdentity, actor: Actor, now: datetime) -> NewKey:
    """Makes a key without a name and with the default lifetime, within the same limits.

    Raises: APIError as `create_token` does.
    """
    limits = _limits(user, caller)
    scopes = _scopes(Wanted(), limits, caller)
    allow_list = _allow_list((), caller)
    with _room(limits, user, now):
        return create_api_key(
            user,
            lifetime_ns=limits.default_token_lifetime,
            scopes=scopes,
            allow_list=allow_list,
            minted=True,
            actor=actor,
            now=now,
        )


def _limits(user: User, caller: KeyIdentity) -> Policy:
    """Returns the limits on the user's keys. Raises: APIError 403, 404 where none may be made."""
    require(caller, "api_key:create", on=user)
    limits = policy.policy_of(user)
    limit = limits[policy.MINTING]
    if caller.minted and not limit.value:
        raise forbidden(f"A token may not make keys: {limit.explanation()}. Sign in instead.")
    return limits


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


@contextmanager
def _room(limits: Policy, user: User, now: datetime) -> Iterator[None]:
    """Holds the user's row while keys are counted, so that no two see the last room."""
    limit = limits[policy.MAX_LIVE]
    if limit.value is None:
        yield
        return
    with transaction.atomic():
        lock(user)
        count = APIKey.objects.minted().live(now).filter(user=user).count()
        if count >= limit.value:
            raise APIError(
                400,
                "There are too many live tokens.",
                detail=f"{count} live tokens of at most {limit.value} ({limit.explanation()}). "
                "Delete or expire one first.",
            )
        yield


@contextmanager
def _unused(name: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if "api_key_name_unique" not in str(error):
            raise
        used = [Validation("name", "This name is used already.")]
        message = f"A token named {name!r} exists already."
        raise APIError(409, message, validations=used) from None
