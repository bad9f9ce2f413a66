"""Creates keys on request, within the limits of the token policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import transaction

from audit.services import Actor, with_partition
from kernel.db.connections import commit_with_retry, fetch, retry_on_conflict
from kernel.http.errors import APIError, Validation, forbidden, invalid
from kernel.text.humanize import duration, plural
from tokens import token_format
from tokens.lifetimes import MIN_LIFETIME_NS, ONE_DAY
from tokens.models import APIKey, PolicyVersion
from tokens.policy import resolution
from tokens.policy.resolution import Limit, Policy
from tokens.services import NewKey, create_api_key, unused_name, validated_name
from tokens.token_format import TokenParts
from users import allow_lists, scopes
from users.allow_lists import EVERYTHING, AllowList
from users.models import User
from users.permissions import KeyIdentity, require
from users.services import lock_user


class WantedToken(NamedTuple):
    """The values of a request for a token. Units: `lifetime` nanoseconds.

    If `lifetime` is None or 0, the token gets the default lifetime. If `token_name` is "", it gets
    a random name. If it is None, the key is a session key. Older clients send one `scope`, newer
    ones a list of `scopes`.
    """

    lifetime: int | None = None
    token_name: str | None = None
    scope: str = ""
    scopes: Sequence[str] = ()
    allow_list: Sequence[object] = ()


def create_key(
    user: User, wanted: WantedToken, *, caller: KeyIdentity, actor: Actor, now: datetime
) -> NewKey:
    """Creates a token or a session key for the user, within the limits for tokens.

    Creates it exactly once, even if the connection is lost during the commit. Raises: APIError 400
    for an invalid value or an exceeded limit, 403 if the caller may not create this token, 404 if
    the caller may not act on the user, 409 if the name is in use.
    """
    name = _name(wanted.token_name)
    parts = token_format.generate()

    def mint() -> NewKey:
        limits = _limits(user, caller)
        create = partial(
            create_api_key,
            user,
            lifetime_ns=_lifetime(wanted.lifetime or 0, limits),
            token_name=name,
            scopes=_scopes(wanted, limits, caller),
            allow_list=_allow_list(wanted.allow_list, caller),
            parts=parts,
            limits=limits,
            actor=actor,
            now=now,
        )
        if limits[resolution.MAX_LIVE].value is None:
            return create()
        with transaction.atomic():
            _require_room(limits, user, now)
            return create()

    commit = retry_on_conflict(partial(commit_with_retry, mint, earlier=partial(_committed, parts)))
    with unused_name(name):
        return with_partition(commit, now=now)


def _name(wanted: str | None) -> str:
    if wanted is None:
        return ""
    return validated_name(wanted) if wanted else token_format.random_name()


def _committed(parts: TokenParts) -> NewKey | None:
    """Returns the key if an earlier attempt committed it."""
    # The earlier transaction may still be running in PostgreSQL. It has locked the version of the
    # policies, or waits for this lock. So this statement waits until that transaction has ended.
    PolicyVersion.objects.select_for_update().get()
    key = APIKey.objects.filter(pk=parts.key_id).first()
    return NewKey(key, parts.token) if key else None


def _limits(user: User, caller: KeyIdentity) -> Policy:
    """Returns the user's limits.

    Raises: APIError 403 or 404 if the caller may not create keys for the user.
    """
    require(caller, "api_key:create", on=user)
    limits = resolution.policy_of(user)
    limit = limits[resolution.MINTING]
    if caller.is_minted and not limit.value:
        raise forbidden(f"A token cannot create keys ({limit.explanation}). Sign in instead.")
    return limits


def _lifetime(wanted_ns: int, limits: Policy) -> int:
    limit = limits[resolution.MAX_LIFETIME]
    if wanted_ns and wanted_ns < MIN_LIFETIME_NS:
        # The client has probably sent seconds instead of nanoseconds.
        detail = f"lifetime is in nanoseconds; {wanted_ns} ns is less than a second. {ONE_DAY}"
        raise invalid(Validation("lifetime", detail))
    if wanted_ns > limit.value:
        detail = f"lifetime must be at most {duration(limit.value)}"
        raise _over_limit("The lifetime is too long.", "lifetime", detail, limit)
    return wanted_ns or int(limits[resolution.DEFAULT_LIFETIME].value)


def _over_limit(message: str, member: str, detail: str, limit: Limit) -> APIError:
    explained = f"{detail} ({limit.explanation})"
    return APIError(400, message, detail=explained, validations=[Validation(member, detail)])


def _scopes(wanted: WantedToken, limits: Policy, caller: KeyIdentity) -> list[str]:
    """Returns the requested scopes.

    Raises: APIError 400 for an unknown scope or one that the policy does not allow, 403 for a scope
    that the caller's key does not have.
    """
    is_old, limit = bool(wanted.scope and not wanted.scopes), limits[resolution.SCOPES]
    names, member = ([wanted.scope], "scope") if is_old else (wanted.scopes, "scopes")
    chosen = list(dict.fromkeys(map(scopes.canonical, names))) or [scopes.ALL]
    # Reject an unknown `scope` even if `scopes` is used instead.
    for given, of_member in ((wanted.scopes, "scopes"), ([wanted.scope or scopes.ALL], "scope")):
        try:
            scopes.require_known(given)
        except ValueError as error:
            raise invalid(Validation(of_member, str(error))) from None
    if limit.value is not None and (over := set(chosen) - scopes.within(chosen, limit.value)):
        detail = f"{', '.join(sorted(over))} is not allowed"
        raise _over_limit("A scope is not allowed.", member, detail, limit)
    if scopes.within(chosen, caller.scopes) != frozenset(chosen):
        raise forbidden("A key cannot create a key with wider scopes than its own.")
    return chosen


def _allow_list(wanted: Sequence[object], caller: KeyIdentity) -> AllowList:
    try:
        parsed = dict.fromkeys(allow_lists.parse_entry(entry) for entry in wanted)
    except ValueError as error:
        raise invalid(Validation("allow_list", str(error))) from None
    chosen = tuple(parsed) or EVERYTHING
    if not all(allow_lists.covers(caller.allow_list, *entry) for entry in chosen):
        raise forbidden("A key cannot create a key with a wider allow list than its own.")
    return chosen


def _require_room(limits: Policy, user: User, now: datetime) -> None:
    """Requires fewer live tokens than the limit. Raises: APIError 400.

    Other requests for this user wait until the transaction ends, so that two requests cannot both
    create the last token that the limit allows.
    """
    # In the same order as the statement that creates the key.
    fetch("SELECT FROM tokens_policyversion WHERE version = %s FOR SHARE", [limits.version])
    lock_user(user)
    limit = limits[resolution.MAX_LIVE]
    count = APIKey.objects.minted().live(now).filter(user=user).count()
    if count >= limit.value:
        detail = f"{plural(count, 'live token')}, at most {limit.value} ({limit.explanation}). "
        detail += "Delete or expire one first."
        raise APIError(400, "You have too many live tokens.", detail=detail)
