from __future__ import annotations

from typing import Any

from django import forms

from kernel.http.errors import APIError
from tokens.policy.forms import DurationField
from tokens.token_format import MAX_NAME_LENGTH
from users.passwords import MAX_LENGTH, MIN_LENGTH
from users.scopes import ALL, KNOWN

MAX_TEXT = 255


class ServiceForm(forms.Form):
    """The base class of the forms. A service may reject input that the form has accepted."""

    template_name = "pages/form.html"
    error: APIError | None = None

    def refuse(self, error: APIError) -> None:
        """Adds the error to its fields. Without known fields, adds it to the whole form."""
        self.error = error
        named = [one for one in error.validations if one.field in self.fields]
        if error.detail or not named:
            self.add_error(None, f"{error.message} {error.detail}".strip())
        else:
            for one in named:
                self.add_error(one.field, one.detail)


class PasswordField(forms.CharField):
    def __init__(self, *, autocomplete: str, **more: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
        super().__init__(max_length=MAX_TEXT, strip=False, widget=widget, **more)


class SignInForm(ServiceForm):
    name = forms.CharField(
        label="E-mail address or username",
        max_length=MAX_TEXT,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = PasswordField(autocomplete="current-password")


class NewTokenForm(ServiceForm):
    token_name = forms.CharField(
        label="Name",
        required=False,
        max_length=MAX_TEXT,
        help_text="Leave empty for a random name.",
    )
    lifetime = DurationField(
        help_text="For example 12h, 30d or 2w. Leave empty for the default lifetime."
    )
    scopes = forms.MultipleChoiceField(
        required=False,
        choices=[(name, name) for name in sorted(KNOWN - {ALL})],
        widget=forms.CheckboxSelectMultiple,
        help_text="Select none for full access. The token can then do everything that you may do.",
    )


class RenameForm(ServiceForm):
    token_name = forms.CharField(
        label="New name",
        max_length=MAX_TEXT,
        help_text=f"1 to {MAX_NAME_LENGTH} characters, without slashes.",
    )


class PasswordForm(ServiceForm):
    old_password = PasswordField(label="Current password", autocomplete="current-password")
    password = PasswordField(
        label="New password",
        autocomplete="new-password",
        help_text=f"{MIN_LENGTH} to {MAX_LENGTH} characters. A change ends your other sessions and "
        "revokes your tokens.",
    )
