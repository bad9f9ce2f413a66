from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from audit.admin import AuditedAdmin, entries_page, register_target
from audit.services import actor_of
from kernel.admin import (
    Line,
    ReadOnlyAdmin,
    State,
    TextFilter,
    badge,
    choice_filter,
    column,
    register,
    row_link,
    time_column,
)
from kernel.text import humanize
from tokens import services
from tokens.lifetimes import expires_soon, last_use_on_hover
from tokens.models import APIKey, APIKeyQuerySet, TokenConfig
from tokens.policy import changes, resolution
from tokens.policy.forms import ExpireForm, TokenConfigForm
from tokens.selectors import CALENDAR_DAYS, expiry_days
from users.models import User
from users.scopes import ALL
from users.selectors import user_by_name

register_target("api_key", APIKey)
register_target("token_config", TokenConfig)

VIOLATING = "violating"
EXPIRES_WITHIN = {f"{days}d": timedelta(days=days) for days in (1, 7, 30)}


STATES = {
    "live": "Live",
    VIOLATING: "Violates the policy",
    **{
        name: f"Expires within {humanize.duration(ahead)}" for name, ahead in EXPIRES_WITHIN.items()
    },
    "expired": "Expired",
}


def _in_state(keys: APIKeyQuerySet, state: str) -> APIKeyQuerySet:
    """Filters keys by their expiry, or finds the tokens that violate the token policy."""
    now = timezone.now()
    if state == VIOLATING:
        violations = changes.violations_of(None, now=now)
        return keys.filter(pk__in=[one.key.pk for one in violations])
    if state in EXPIRES_WITHIN:
        return keys.filter(expires_at__range=(now, now + EXPIRES_WITHIN[state]))
    return keys.live(now) if state == "live" else keys.filter(expires_at__lt=now)


class OwnerFilter(TextFilter):
    title = "owner"
    hint = "username or e-mail"
    parameter_name = "person"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        return queryset.filter(user=user_by_name(text)) if text else queryset


def add_reasons(keys: list[Any]) -> None:
    """Sets `reasons` on each key: its violations of the token policy. Takes two queries."""
    violations = changes.violations_among(keys, now=timezone.now())
    for key in keys:
        key.reasons = violations[key.pk].reasons if key.pk in violations else ()


def _state(key: Any, *, now: datetime) -> tuple[str, State]:
    """Returns the key's state as a label and a color.

    A token that violates the policy stays valid.
    """
    if key.is_expired(now):
        return "expired", State.PLAIN
    if key.user.status == User.Status.SUSPENDED:
        return "rejected: owner suspended", State.BAD
    if key.reasons:
        return "violates policy", State.BAD
    if expires_soon(key.expires_at, key.lifetime_ns, now=now):
        return "expires soon", State.NOTICE
    return "valid", State.GOOD


@admin.register(APIKey)
class APIKeyAdmin(ReadOnlyAdmin):
    """Lists keys without their secrets and digests. Can revoke keys."""

    list_display = [
        "id",
        "token_name",
        "owner",
        "state",
        "expires",
        "last_used_at",
        "lifetime",
        "login_type",
    ]
    list_filter = [
        OwnerFilter,
        choice_filter("state", STATES, _in_state),
        "login_type",
        "last_used",
    ]
    search_fields = ["id", "token_name", "user__username", "user__email"]
    list_select_related = ["user"]
    fieldsets = [
        (None, {"fields": ["id", "token_name", "owner", "state"]}),
        ("Rights", {"fields": ["scope_names", "objects", "login_type", "created_by"]}),
        ("Times", {"fields": ["expires", "lifetime", "created", "last_used_at", "ip_address"]}),
        ("Audit trail", {"fields": ["trail"]}),
    ]
    actions = ["expire"]
    secrets = ["hashed_secret"]
    change_list_template = "admin/tokens/apikey/change_list.html"
    pages = {"calendar/": "calendar"}

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page: Any = super().get_changelist_instance(request)
        page.result_list = list(page.result_list)
        add_reasons(page.result_list)
        return cast("ChangeList", page)

    def get_object(self, *args: Any, **kwargs: Any) -> Any:
        key: Any = super().get_object(*args, **kwargs)
        if key is not None:
            add_reasons([key])
        return key

    @admin.display(ordering="user__username")
    def owner(self, key: APIKey) -> str:
        return row_link(key.user)

    def state(self, key: APIKey) -> str:
        state = badge(*_state(key, now=timezone.now()))
        return format_html("{} {}", state, "; ".join(cast("Any", key).reasons))

    @admin.display(description="scopes")
    def scope_names(self, key: APIKey) -> str:
        return "Full access" if ALL in key.scopes else ", ".join(key.scopes)

    def objects(self, key: APIKey) -> str:
        listed = [f"{each['type']}:{each['id']}" for each in key.allow_list]
        return "all" if listed == ["*:*"] else ", ".join(listed)

    def created_by(self, key: APIKey) -> str:
        return "a token, a session or a command" if key.is_minted else "signing in"

    @admin.display(description="audit entries")
    def trail(self, key: APIKey) -> str:
        page = entries_page(target_id=key.pk)
        return format_html('<a href="{}">Changes of this key</a>', page)

    created = time_column("created_at", "created")
    expires = time_column("expires_at", "expires")
    last_used_at = column("last_used", last_use_on_hover, "last used")

    lifetime = column("lifetime_ns", humanize.duration, "lifetime")

    def has_expire_permission(self, request: HttpRequest) -> bool:
        return cast("User", request.user).has_perm("tokens.change_apikey")

    def calendar(self, request: HttpRequest) -> HttpResponse:
        context = {"days": expiry_days(now=timezone.now()), "span_days": CALENDAR_DAYS}
        return self.page(request, "calendar", "Expiry calendar", **context)

    @admin.action(description="Revoke, with a reason", permissions=["expire"])
    def expire(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> HttpResponse | None:
        now = timezone.now()
        live = queryset.filter(expires_at__gte=now)
        form = ExpireForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            actor, reason = actor_of(request), form.cleaned_data["reason"]
            expired = services.expire_keys(live, actor=actor, now=now, reason=reason)
            done = f"{humanize.plural(expired, 'key')} revoked."
            self.message_user(request, done, messages.SUCCESS)
            return None
        # The page has these fields as hidden inputs.
        names = ("action", "select_across", "index", "_selected_action")
        selection = [(name, value) for name in names for value in request.POST.getlist(name)]
        count = humanize.plural(live.count(), "live key")
        context = {"count": count, "form": form, "selection": selection}
        return self.page(request, "expire", "Revoke keys", **context)


def _limit(name: str) -> Callable[..., str]:
    """Makes a list column for the limit with this name."""

    def write(value: Any) -> str:
        return "inherit" if value is None else resolution.readable(name, value)

    return column(name, write, resolution.KINDS[name].label)


@admin.register(TokenConfig)
class TokenConfigAdmin(AuditedAdmin[TokenConfig]):
    """Lists and changes token policies."""

    form = TokenConfigForm
    list_display = ["subject", *map(_limit, resolution.LIMITS), "updated"]
    list_select_related = ["user"]
    search_fields = ["user__username", "role"]
    autocomplete_fields = ["user"]
    change_form_template = "admin/tokens/tokenconfig/change_form.html"
    change_list_template = "admin/tokens/tokenconfig/change_list.html"
    pages = {"explain/": "explain"}

    class Media:
        js = ["tokens/names.js"]

    def explain(self, request: HttpRequest) -> HttpResponse:
        """Shows the limits of one user: their values, the rules that set them, and all rules."""
        name = request.GET.get("user", "")
        context: dict[str, Any] = {"name": name, "may_add": self.has_add_permission(request)}
        if user := user_by_name(name):
            context["user_found"] = user
            context["config"] = TokenConfig.objects.filter(user=user).first()
            context["limits"] = resolution.policy_of(user).values()
        return self.page(request, "explain", "Effective limits of a user", **context)

    updated = time_column("updated_at", "changed")

    def save_model(self, request: HttpRequest, obj: TokenConfig, form: Any, change: bool) -> None:
        action, actor = form.cleaned_data["on_violation"] or None, actor_of(request)
        changed = changes.save_config(obj, on_violation=action, actor=actor, now=timezone.now())
        if changed:
            self.message_user(request, f"{humanize.plural(changed, 'existing token')} changed.")

    def delete_model(self, request: HttpRequest, obj: TokenConfig) -> None:
        changes.delete_config(obj, actor=actor_of(request), now=timezone.now())


DAY = timedelta(days=1)


def _card(now: datetime) -> list[Line]:
    counts = APIKey.objects.live(now).aggregate(
        all=Count("*"),
        used=Count("id", filter=Q(last_used__gte=now - DAY)),
        ending=Count("id", filter=Q(expires_at__lt=now + DAY)),
    )
    url = reverse("admin:tokens_apikey_changelist")
    return [
        Line("live", str(counts["all"]), link=url),
        Line("used in the last 24 h", str(counts["used"])),
        Line("expiring within 24 h", str(counts["ending"])),
    ]


register("Session tokens", _card, order=61)
