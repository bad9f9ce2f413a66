from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from kernel.durations import DurationError, format_duration, parse_positive_duration
from kernel.humanize import plural
from tokens.configs import Broken, Existing, broken_by
from tokens.models import TokenConfig
from users.scopes import KNOWN

DAY_NS = 86_400 * 10**9


class DurationField(forms.CharField):
    """Nanoseconds, written such as 720h or 30d."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(
            "help_text", "Such as 720h, 30d or 1h30m; empty leaves it to other rules."
        )
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        days, rest = divmod(value, DAY_NS)
        return format_duration(value) if rest else f"{days}d"

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_positive_duration(text)
        except DurationError as error:
            raise ValidationError(f"{text!r} {error}.") from None


class TokenConfigForm(forms.ModelForm[TokenConfig]):
    """A rule. One that breaks keys is refused with their list until the user chooses what to do."""

    max_token_lifetime = DurationField(label="Longest lifetime")
    default_token_lifetime = DurationField(label="Default lifetime")
    allowed_scopes = forms.TypedMultipleChoiceField(
        required=False,
        empty_value=None,
        choices=[(name, name) for name in sorted(KNOWN)],
        widget=forms.CheckboxSelectMultiple,
        help_text="The scopes that a token may have; none chosen leaves it to other rules.",
    )
    tokens_may_mint = forms.TypedChoiceField(
        required=False,
        label="A token may make another",
        choices=[("", "left to other rules"), (True, "yes"), (False, "no")],
        coerce=lambda text: text == "True",
        empty_value=None,
    )
    existing = forms.ChoiceField(
        required=False,
        label="Keys that break it",
        choices=[
            ("", "say which they are"),
            (Existing.LEAVE, "leave them as they are"),
            (Existing.SHORTEN, "shorten those that live too long"),
            (Existing.EXPIRE, "expire them now"),
        ],
    )

    class Meta:
        model = TokenConfig
        fields = [
            "user",
            "role",
            "max_token_lifetime",
            "default_token_lifetime",
            "max_live_tokens",
            "allowed_scopes",
            "tokens_may_mint",
        ]
        labels = {"max_live_tokens": "Live tokens at once"}

    broken: list[Broken]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.broken = []

    def _post_clean(self) -> None:
        """Looks for the keys that the validated rule would break."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, without a stub
        if self.errors or self.cleaned_data.get("existing"):
            return
        self.broken = broken_by(self.instance, now=timezone.now())
        if self.broken:
            self.add_error(
                "existing",
                f"The rule is broken by {plural(len(self.broken), 'live token')}, listed below: "
                "choose what to do.",
            )


class ExpireForm(forms.Form):
    """The reason for ending many keys at once, which the audit trail keeps."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
