from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from kernel.text.durations import DurationError, format_duration
from kernel.text.humanize import plural
from tokens.lifetimes import DAY_NS, parse_lifetime
from tokens.models import TokenConfig
from tokens.policy.changes import OnViolation, Violation, violations_of
from tokens.policy.resolution import LIMITS
from users.scopes import KNOWN


class DurationField(forms.CharField):
    """A form field for the lifetime of a token. The user enters 720h or 30d, for example.

    Units: nanoseconds.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "For example 720h, 30d or 1h30m. Leave empty to inherit.")
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
            return parse_lifetime(text)
        except DurationError as error:
            raise ValidationError(f"{text!r} {error}.") from None


class TokenConfigForm(forms.ModelForm[TokenConfig]):
    """The form for a token policy.

    If live tokens violate the policy, the form lists them and asks what to do with them.
    """

    max_lifetime_ns = DurationField(label="Maximum lifetime")
    default_lifetime_ns = DurationField(label="Default lifetime")
    allowed_scopes = forms.TypedMultipleChoiceField(
        required=False,
        empty_value=None,
        choices=[(name, name) for name in sorted(KNOWN)],
        widget=forms.CheckboxSelectMultiple,
        help_text="The scopes that a new token may have. Select none to inherit.",
    )
    tokens_may_create_tokens = forms.TypedChoiceField(
        required=False,
        label="Tokens may create tokens",
        choices=[("", "inherit"), (True, "yes"), (False, "no")],
        coerce=lambda text: text == "True",
        empty_value=None,
    )
    on_violation = forms.ChoiceField(
        required=False, label="Existing tokens", choices=[("", "list first"), *OnViolation.choices]
    )

    class Meta:
        labels = {"max_live_tokens": "Maximum live tokens"}

    violations: Sequence[Violation] = ()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and all(self.cleaned_data.get(name) is None for name in LIMITS):
            raise ValidationError("Set at least one limit. A policy without limits has no effect.")
        return cleaned

    def _post_clean(self) -> None:
        """Lists the live tokens that violate the validated policy."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, without a stub
        if not (self.errors or self.cleaned_data.get("on_violation")):
            self.violations = violations_of(self.instance, now=timezone.now())
        if self.violations:
            tokens = plural(len(self.violations), "live token")
            message = f"{tokens}, listed below, would violate the policy. Choose what to do."
            self.add_error("on_violation", message)


class ExpireForm(forms.Form):
    """The form for the reason why keys are revoked. The audit trail records it."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
