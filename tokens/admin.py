from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
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
    register,
    row_link,
    time_column,
)
from kernel.durations import to_timedelta
from tokens import configs, policy, services
from tokens.configs import Existing
from tokens.forms import ExpireForm, TokenConfigForm
from tokens.models import APIKey, TokenConfig
from tokens.policy import limits_for_people
from tokens.selectors import CALENDAR_DAYS, expiry_days
from users.models import User
from users.selectors import user_by_name

register_target("api_key", APIKey)
register_target("token_config", TokenConfig)

SOON = timedelta(days=7)
# Days ahead in which the list shows the keys that end.
ENDINGS = {f"{days}d": timedelta(days=days) for days in (1, 7, 30)}


class StateFilter(admin.SimpleListFilter):
    """Tells keys apart by their end, which mostly lies ahead."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        ending = [
            (name, f"Ends within {humanize.duration(ahead)}") for name, ahead in ENDINGS.items()
        ]
        return [("live", "Live"), *ending, ("expired", "Expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, chosen = timezone.now(), self.value()
        if chosen == "expired":
            return queryset.filter(expires_at__lt=now)
        if chosen == "live":
            return queryset.filter(expires_at__gte=now)
        if chosen in ENDINGS:
            return queryset.filter(expires_at__range=(now, now + ENDINGS[chosen]))
        return queryset


class OwnerFilter(TextFilter):
    title = "owner"
    hint = "username or e-mail"
    parameter_name = "person"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        return queryset.filter(user=user_by_name(text)) if text else queryset


class KeyList(ChangeList):
    """A page of keys, each with the reasons why it breaks the policy."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        keys = list(self.result_list)
        broken = configs.broken_among(keys, now=timezone.now())
        for key in cast("Any", keys):
            key.reasons = broken[key.pk].reasons if key.pk in broken else ()
        self.result_list = cast("Any", keys)


def _state(key: Any, *, now: datetime) -> tuple[str, State]:
    """Returns the key's state in a word, with its colour. A rule is for new tokens alone."""
    left = key.expires_at - now
    if key.is_expired(now):
        return "expired", State.PLAIN
    if key.user.status == User.Status.SUSPENDED:
        return "refused: owner suspended", State.BAD
    if key.reasons:
        return "breaks a rule", State.BAD
    # What never lives longer does not end soon: it is made so.
    if left < SOON < to_timedelta(key.lifetime_ns):
        return "expires soon", State.NOTICE
    return "valid", State.GOOD


@admin.register(APIKey)
class APIKeyAdmin(ReadOnlyAdmin):
    """Every key, to look at and to end; neither a secret nor its digest."""

    list_display = ["id", "token_name", "owner", "state", "ends", "used", "lifetime", "login_type"]
    list_filter = [OwnerFilter, StateFilter, "login_type", "last_used"]
    search_fields = ["id", "token_name", "user__username", "user__email"]
    list_select_related = ["user"]
    fieldsets = [
        (None, {"fields": ["id", "token_name", "owner", "state"]}),
        ("Rights", {"fields": ["scopes_held", "allowed", "login_type", "minted"]}),
        ("Times", {"fields": ["ends", "lifetime", "created", "used", "ip_address"]}),
        ("Trail", {"fields": ["trail"]}),
    ]
    actions = ["expire"]
    change_list_template = "admin/tokens/apikey/change_list.html"

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuses to filter by the beginning of a digest, which would let one be guessed."""
        hidden = lookup.startswith("hashed_secret")
        return not hidden and super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyList

    def get_object(self, *args: Any, **kwargs: Any) -> Any:
        key: Any = super().get_object(*args, **kwargs)
        if key is not None:
            broken = configs.broken_among([key], now=timezone.now())
            key.reasons = broken[key.pk].reasons if key.pk in broken else ()
        return key

    @admin.display(ordering="user__username")
    def owner(self, key: APIKey) -> str:
        return row_link(key.user)

    @admin.display
    def state(self, key: APIKey) -> str:
        shown = badge(*_state(key, now=timezone.now()))
        return format_html("{} {}", shown, "; ".join(cast("Any", key).reasons))

    @admin.display(description="scopes")
    def scopes_held(self, key: APIKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="may be used on")
    def allowed(self, key: APIKey) -> str:
        listed = [f"{each['type']}:{each['id']}" for each in key.allow_list]
        return "everything" if listed == ["*:*"] else ", ".join(listed)

    @admin.display(description="audit entries")
    def trail(self, key: APIKey) -> str:
        page = entries_page(target_id=key.pk)
        return format_html('<a href="{}">What was done to this key</a>', page)

    created = time_column("created_at", "created")
    used = time_column("last_used", "last used")

    @admin.display(ordering="lifetime_ns")
    def lifetime(self, key: APIKey) -> str:
        return humanize.duration(key.lifetime_ns)

    @admin.display(ordering="expires_at")
    def ends(self, key: APIKey) -> str:
        return humanize.expiry(key.expires_at)

    def has_expire_permission(self, request: HttpRequest) -> bool:
        return cast("User", request.user).has_perm("tokens.change_apikey")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.calendar)
        return [path("calendar/", view, name="tokens_apikey_calendar"), *super().get_urls()]

    def calendar(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Expiry calendar",
            "opts": self.opts,
            "days": expiry_days(now=timezone.now()),
            "span_days": CALENDAR_DAYS,
        }
        return TemplateResponse(request, "admin/tokens/apikey/calendar.html", context)

    @admin.action(description="Expire, with a reason", permissions=["expire"])
    def expire(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> HttpResponse | None:
        now = timezone.now()
        live = queryset.filter(expires_at__gte=now)
        form = ExpireForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            ended = services.expire_keys(
                live, actor=actor_of(request), now=now, reason=form.cleaned_data["reason"]
            )
            self.message_user(request, f"{humanize.plural(ended, 'key')} ended.", messages.SUCCESS)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Expire keys",
            "opts": self.opts,
            "count": humanize.plural(live.count(), "live key"),
            "form": form,
            "repeated": _repeated(request),
        }
        return TemplateResponse(request, "admin/tokens/apikey/expire.html", context)


def _repeated(request: HttpRequest) -> list[tuple[str, str]]:
    """Returns the fields that chose the keys, to be sent once more with the reason."""
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _limit(name: str) -> Callable[[Any, TokenConfig], str]:
    """Makes a column for a limit; a rule may leave it to others."""

    @admin.display(description=policy.WORDS[name], ordering=name)
    def column(_: Any, config: TokenConfig) -> str:
        value = getattr(config, name)
        return "left open" if value is None else policy.readable(name, value)

    return column


@admin.register(TokenConfig)
class TokenConfigAdmin(ServiceAdmin[TokenConfig]):
    """The rules of the token policy."""

    form = TokenConfigForm
    list_display = ["subject", "longest", "usual", "live", "scopes", "minting", "updated"]
    list_select_related = ["user"]
    search_fields = ["user__username", "role"]
    autocomplete_fields = ["user"]
    change_form_template = "admin/tokens/tokenconfig/change_form.html"
    change_list_template = "admin/tokens/tokenconfig/change_list.html"

    class Media:
        js = ["tokens/names.js"]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.explain)
        return [path("explain/", view, name="tokens_tokenconfig_explain"), *super().get_urls()]

    def explain(self, request: HttpRequest) -> HttpResponse:
        """Shows the limits of one user, the rule that won each, and what every rule said."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        name = request.GET.get("user", "")
        user = user_by_name(name)
        rule = TokenConfig.objects.filter(user=user).first() if user else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Limits of a user",
            "name": name,
            "found": user,
            "rule": rule,
            "opts": self.opts,
            "may_add": self.has_add_permission(request),
            "limits": limits_for_people(user) if user else [],
        }
        return TemplateResponse(request, "admin/tokens/tokenconfig/explain.html", context)

    longest = _limit(policy.MAX_LIFETIME)
    usual = _limit(policy.DEFAULT_LIFETIME)
    live = _limit(policy.MAX_LIVE)
    scopes = _limit(policy.SCOPES)
    minting = _limit(policy.MINTING)
    updated = time_column("updated_at", "changed")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["broken"] = getattr(context["adminform"].form, "broken", [])
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: TokenConfig, form: Any, change: bool) -> None:
        changed = configs.save_config(
            obj,
            existing=Existing(chosen) if (chosen := form.cleaned_data["existing"]) else None,
            actor=actor_of(request),
            now=timezone.now(),
        )
        if changed:
            self.message_user(request, f"{changed} keys have been changed with it.")

    def delete_model(self, request: HttpRequest, obj: TokenConfig) -> None:
        configs.delete_config(obj, actor=actor_of(request), now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TokenConfig]) -> None:
        for config in queryset:
            self.delete_model(request, config)


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
