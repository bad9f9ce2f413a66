from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from audit.admin import entries_page, register_target
from audit.services import actor_of
from kernel import humanize
from kernel.admin import (
    Line,
    ReadOnlyAdmin,
    ServiceAdmin,
    State,
    TextFilter,
    badge,
    column,
    register,
    row_link,
    time_column,
)
from tokens import configs, policy, services
from tokens.configs import OnViolation
from tokens.forms import ExpireForm, TokenConfigForm
from tokens.lifetimes import expires_soon
from tokens.models import APIKey, TokenConfig
from tokens.policy import readable_limits
from tokens.selectors import CALENDAR_DAYS, expiry_days
from users.models import User
from users.scopes import ALL
from users.selectors import user_by_name

register_target("api_key", APIKey)
register_target("token_config", TokenConfig)

EXPIRES_WITHIN = {f"{days}d": timedelta(days=days) for days in (1, 7, 30)}


class StateFilter(admin.SimpleListFilter):
    """Filters keys by their expiry."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        expiring = [
            (name, f"Expires within {humanize.duration(ahead)}")
            for name, ahead in EXPIRES_WITHIN.items()
        ]
        return [("live", "Live"), *expiring, ("expired", "Expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, chosen = timezone.now(), self.value()
        if chosen == "expired":
            return queryset.filter(expires_at__lt=now)
        if chosen == "live":
            return queryset.filter(expires_at__gte=now)
        if chosen in EXPIRES_WITHIN:
            return queryset.filter(expires_at__range=(now, now + EXPIRES_WITHIN[chosen]))
        return queryset


class OwnerFilter(TextFilter):
    title = "owner"
    hint = "username or e-mail"
    parameter_name = "person"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        return queryset.filter(user=user_by_name(text)) if text else queryset


class KeyList(ChangeList):
    """A page of the list of keys. Adds the policy violations to each key."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        keys = list(self.result_list)
        add_reasons(keys)
        self.result_list = cast("Any", keys)


def add_reasons(keys: list[Any]) -> None:
    """Sets `reasons` on each key: its violations of the token policy. Takes two queries."""
    violations = configs.violations_among(keys, now=timezone.now())
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
    list_filter = [OwnerFilter, StateFilter, "login_type", "last_used"]
    search_fields = ["id", "token_name", "user__username", "user__email"]
    list_select_related = ["user"]
    fieldsets = [
        (None, {"fields": ["id", "token_name", "owner", "state"]}),
        ("Rights", {"fields": ["scope_names", "objects", "login_type", "created_by"]}),
        ("Times", {"fields": ["expires", "lifetime", "created", "last_used_at", "ip_address"]}),
        ("Audit trail", {"fields": ["trail"]}),
    ]
    actions = ["expire"]
    change_list_template = "admin/tokens/apikey/change_list.html"
    pages = {"calendar/": "calendar"}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Rejects filters on the digest, because a caller could guess it character by character."""
        hidden = lookup.startswith("hashed_secret")
        return not hidden and super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyList

    def get_object(self, *args: Any, **kwargs: Any) -> Any:
        key: Any = super().get_object(*args, **kwargs)
        if key is not None:
            add_reasons([key])
        return key

    @admin.display(ordering="user__username")
    def owner(self, key: APIKey) -> str:
        return row_link(key.user)

    @admin.display
    def state(self, key: APIKey) -> str:
        state = badge(*_state(key, now=timezone.now()))
        return format_html("{} {}", state, "; ".join(cast("Any", key).reasons))

    @admin.display(description="scopes")
    def scope_names(self, key: APIKey) -> str:
        return "Full access" if ALL in key.scopes else ", ".join(key.scopes)

    @admin.display(description="objects")
    def objects(self, key: APIKey) -> str:
        listed = [f"{each['type']}:{each['id']}" for each in key.allow_list]
        return "all" if listed == ["*:*"] else ", ".join(listed)

    @admin.display(description="created by")
    def created_by(self, key: APIKey) -> str:
        return "a token, a session or a command" if key.minted else "signing in"

    @admin.display(description="audit entries")
    def trail(self, key: APIKey) -> str:
        page = entries_page(target_id=key.pk)
        return format_html('<a href="{}">Changes of this key</a>', page)

    created = time_column("created_at", "created")
    expires = time_column("expires_at", "expires")
    last_used_at = time_column("last_used", "last used")

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
            expired = services.expire_keys(
                live, actor=actor_of(request), now=now, reason=form.cleaned_data["reason"]
            )
            self.message_user(
                request, f"{humanize.plural(expired, 'key')} revoked.", messages.SUCCESS
            )
            return None
        count = humanize.plural(live.count(), "live key")
        context = {"count": count, "form": form, "selection": _selection(request)}
        return self.page(request, "expire", "Revoke keys", **context)


def _selection(request: HttpRequest) -> list[tuple[str, str]]:
    """Returns the submitted fields that select the keys.

    The form that asks for the reason contains these fields as hidden inputs.
    """
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _limit(name: str) -> Callable[[Any, TokenConfig], str]:
    """Builds a list column for the limit with this name."""

    @admin.display(description=policy.LABELS[name], ordering=name)
    def column(_: Any, config: TokenConfig) -> str:
        value = getattr(config, name)
        return "inherit" if value is None else policy.readable(name, value)

    return column


@admin.register(TokenConfig)
class TokenConfigAdmin(ServiceAdmin[TokenConfig]):
    """Lists and changes token policies."""

    form = TokenConfigForm
    list_display = ["subject", "maximum", "default", "live", "scopes", "minting", "updated"]
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
        user = user_by_name(name)
        config = TokenConfig.objects.filter(user=user).first() if user else None
        return self.page(
            request,
            "explain",
            "Effective limits of a user",
            name=name,
            user_found=user,
            config=config,
            may_add=self.has_add_permission(request),
            limits=readable_limits(user) if user else [],
        )

    maximum = _limit(policy.MAX_LIFETIME)
    default = _limit(policy.DEFAULT_LIFETIME)
    live = _limit(policy.MAX_LIVE)
    scopes = _limit(policy.SCOPES)
    minting = _limit(policy.MINTING)
    updated = time_column("updated_at", "changed")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirects to the audit trail.

        Django's own history page is not used, because it does not contain changes by commands.
        """
        return redirect(entries_page(target_id=object_id))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["violations"] = getattr(context["adminform"].form, "violations", [])
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: TokenConfig, form: Any, change: bool) -> None:
        chosen = form.cleaned_data["existing"]
        changed = configs.save_config(
            obj,
            on_violation=OnViolation(chosen) if chosen else None,
            actor=actor_of(request),
            now=timezone.now(),
        )
        if changed:
            self.message_user(request, f"{humanize.plural(changed, 'existing token')} changed.")

    def delete_model(self, request: HttpRequest, obj: TokenConfig) -> None:
        configs.delete_config(obj, actor=actor_of(request), now=timezone.now())


DAY = timedelta(days=1)


def _card(now: datetime) -> list[Line]:
    live = APIKey.objects.filter(expires_at__gte=now)
    counts = live.aggregate(
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
