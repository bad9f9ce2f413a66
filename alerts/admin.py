from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts.channels import check_address, delete_channel, save_channel, send_test
from alerts.kinds import KINDS
from alerts.models import Alert, Channel, Delivery
from alerts.sending import MAX_LISTED
from audit.admin import AuditedAdmin, register_target
from audit.services import actor_of
from kernel.admin import (
    ReadOnlyAdmin,
    State,
    badge,
    error_column,
    row_link,
    time_column,
)
from kernel.outgoing import OutgoingError
from kernel.text.humanize import since

register_target("alert_channel", Channel)

# Each test may take ten seconds.
MAX_TESTS = 3
MAX_SITES = 100
ADDRESSES = format_html(
    "The address depends on the type. For example:<ul>{}</ul>",
    format_html_join(
        "",
        "<li>{}: <code>{}</code></li>",
        [
            ("Webhook", "https://hooks.example.com/coderapi"),
            ("Slack", "https://hooks.slack.com/services/T0000/B0000/XXXX"),
            ("Microsoft Teams", "https://prod-1.westeurope.logic.azure.com/workflows/…"),
            ("ntfy", "https://ntfy.sh/my-topic"),
            ("E-mail", "security@example.com"),
        ],
    ),
)
LAST = time_column("accepted_at", "last message")


class ChannelForm(forms.ModelForm[Channel]):
    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[(kind.name, f"{kind.name}: {kind.about}") for kind in KINDS.values()],
        widget=forms.CheckboxSelectMultiple,
        help_text="The kinds of alerts that the channel gets. If empty, it gets all kinds.",
    )
    sites = SimpleArrayField(
        # Another form of an origin, such as one with a slash at its end, would match no site.
        forms.RegexField(
            r"^(other|https?://[^/?#@\sA-Z]+)$",
            max_length=255,
            strip=True,
            error_messages={"invalid": "Enter an origin in lower case, without a path, or other."},
        ),
        delimiter="\n",
        max_length=MAX_SITES,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The sites whose alerts the channel gets, one on each line, for example "
        "https://portal.example.com. Without an entry, all sites. Alerts that concern no site are "
        "always sent.",
    )

    class Meta:
        widgets = {
            "address": forms.TextInput(attrs={"class": "vLargeTextField", "autocomplete": "off"})
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if address := self.fields.get("address"):
            address.help_text = ADDRESSES
            if self.instance.pk and self.instance.has_secret_address:
                # A URL contains a secret, so the page does not show it again.
                host = self.instance.shown_address
                address.widget.attrs["placeholder"] = f"set ({host}); leave empty to keep"
                address.required = False
                self.initial["address"] = ""

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"] or self.instance.address
        if kind := self.cleaned_data.get("type"):
            check_address(kind, address)
        return address


@admin.register(Channel)
class ChannelAdmin(AuditedAdmin[Channel]):
    form = ChannelForm
    list_display = ["name", "type", "shown_address", "state", "choice", "min_severity", LAST]
    readonly_fields = ["state", "shown_address", "signing_secret", "last_failure"]
    actions = ["send_test"]
    secrets = ["address", "secret"]

    def get_fields(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """Omits the secrets for a user who may only view the channel."""
        if obj is None:
            # The test alert that follows enables the new channel.
            hidden = {"is_enabled", *self.readonly_fields}
        elif self.has_change_permission(request, obj):
            hidden = {"shown_address"}
        else:
            hidden = {"address", "signing_secret"}
        return [name for name in super().get_fields(request, obj) if name not in hidden]

    @admin.display(description="signing secret")
    def signing_secret(self, channel: Channel) -> str:
        return channel.secret

    @admin.display(description="state")
    def state(self, channel: Channel) -> SafeString:
        if not channel.is_enabled:
            is_refused = channel.is_failing and channel.accepted_at is None
            return badge("test failed", State.BAD) if is_refused else badge("off", State.PLAIN)
        return badge("failing", State.BAD) if channel.is_failing else badge("on", State.GOOD)

    @admin.display(description="kinds")
    def choice(self, channel: Channel) -> str:
        return ", ".join(channel.kinds) or "all"

    @admin.display(description="last failure")
    def last_failure(self, channel: Channel) -> str:
        if channel.failed_at is None:
            return "none"
        return format_html("{}: {}", since(channel.failed_at), channel.error)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Sends a test alert to a new channel, after the transaction of the form has ended."""
        response = super().add_view(request, form_url, extra_context)
        if added := getattr(request, "added_channel", None):
            self._test(request, added)
        return response

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        save_channel(obj, actor=actor_of(request), now=timezone.now())
        if not change:
            request.added_channel = obj  # type: ignore[attr-defined]

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        delete_channel(obj, actor=actor_of(request), now=timezone.now())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Ignores that no user may delete single deliveries: they are deleted with the channel."""
        found, counts, _, protected = super().get_deleted_objects(objs, request)
        return found, counts, set(), protected

    @admin.action(description="Send a test alert", permissions=["change"])
    def send_test(self, request: HttpRequest, channels: QuerySet[Channel]) -> None:
        for channel in channels[:MAX_TESTS]:
            self._test(request, channel)

    def _test(self, request: HttpRequest, channel: Channel) -> None:
        try:
            enabled = send_test(channel, actor=actor_of(request), now=timezone.now())
        except OutgoingError as error:
            state = "" if channel.accepted_at else " The channel is off until it accepts a test."
            text = f"The test alert of “{channel}” failed: {str(error).rstrip('.')}.{state}"
            self.message_user(request, text, messages.ERROR)
        else:
            state = " The channel is now on." if enabled else ""
            self.message_user(
                request, f"The receiver of “{channel}” accepted the test alert.{state}"
            )


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "channel", "title", "status", "attempts", "sent_at", error_column]
    list_filter = ["status", "channel"]
    list_select_related = ["channel"]
    search_fields = ["subject"]
    readonly_fields = ["listed"]

    @admin.display(description="subject", ordering="subject")
    def title(self, delivery: Delivery) -> str:
        return delivery.subject or "not composed yet"

    @admin.display(description="alerts")
    def listed(self, delivery: Delivery) -> SafeString:
        """Returns links to the first alerts of the message, and a link to the list of all."""
        rows = ((row_link(alert),) for alert in delivery.alerts.all()[:MAX_LISTED])
        query = urlencode({"delivery__id__exact": delivery.pk})
        return format_html(
            '<ul>{}<li><a href="{}?{}">All alerts of this message</a></li></ul>',
            format_html_join("", "<li>{}</li>", rows),
            reverse("admin:alerts_alert_changelist"),
            query,
        )


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "channel", "kind", "title", "site", "severity", "status"]
    list_filter = ["status", "channel", "kind", "severity"]
    list_select_related = ["channel"]
    search_fields = ["subject_key", "title"]
