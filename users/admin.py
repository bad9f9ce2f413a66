from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join

from audit.admin import AuditedAdmin, entries_page, register_target
from audit.services import Actor, actor_of
from kernel.admin import Line, State, badge, choice_filter, register, time_column
from kernel.http.errors import APIError
from users import erasure, roles, selectors, services
from users.models import User
from users.permissions import page_refusal

admin.site.unregister(Group)
register_target("user", User)

STATES = {
    User.Status.ACTIVE: State.GOOD,
    User.Status.DORMANT: State.PLAIN,
    User.Status.SUSPENDED: State.BAD,
}
# The type stubs lack Django's inner methods.
STOCK: Any = StockUserAdmin
TIMES = ("created", "updated", "last_seen", "last_sign_in")
RIGHTS = {
    roles.OWNER: "full access",
    roles.AUDITOR: "view the admin, the configuration, stats, CSP reports and the audit trail",
    roles.USER_ADMIN: "create, change and delete users who are not owners",
    roles.TEMPLATE_ADMIN: "view users",
}


def change_access(user: User, wanted: dict[str, Any], *, actor: Actor) -> None:
    """Sets the status and the roles that differ from the current values. Raises: APIError 400."""
    now = timezone.now()
    if wanted["status"] != user.status:
        services.set_status(user, wanted["status"], actor=actor, now=now)
    # The form of a user admin has no field for the roles.
    if set(wanted.get("roles", user.roles)) != set(user.roles):
        services.set_roles(user, wanted["roles"], actor=actor, now=now)


def actor_on(user: Any) -> Actor:
    """Returns the actor that `get_object` set, because a form does not get the request."""
    return cast("Actor", user.changed_by)


class ChangeForm(UserChangeForm[User]):
    """The form to change a user.

    To validate the status and the roles, it calls the services in a transaction, and then rolls the
    transaction back.
    """

    roles = forms.MultipleChoiceField(
        required=False,
        choices=[(name, f"{roles.DISPLAY_NAMES[name]}: {may}") for name, may in RIGHTS.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text="The roles of the user. Every user also has the role member.",
    )

    def clean(self) -> dict[str, Any]:
        super().clean()
        if self.errors:
            return self.cleaned_data
        # The form may have changed the instance, so read the user again.
        user = get_object_or_404(User, pk=self.instance.pk)
        try:
            with transaction.atomic():
                change_access(user, self.cleaned_data, actor=actor_on(self.instance))
                transaction.set_rollback(True)
        except APIError as error:
            raise ValidationError(error.message) from None
        return self.cleaned_data


class PasswordForm(AdminPasswordChangeForm[User]):
    """The form for a new password. The service that saves it also deletes the user's keys."""

    usable_password = None  # Django's template reads it. The form has no field for it.

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields.pop("usable_password", None)

    def save(self, commit: bool = True) -> User:
        user, password = self.user, self.cleaned_data["password1"]
        services.set_password(user, password, actor=actor_on(user), now=timezone.now())
        return user


def _user_of(request: HttpRequest) -> User:
    return cast("User", request.user)


def _may(request: HttpRequest, action: str, *, on: User) -> bool:
    """Returns whether the user of the page may do the action. The API has the same rule."""
    return page_refusal(_user_of(request), action, on=on) is None


def or_message(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorates an admin view. Shows a 400 or 409 error of a service as a message.

    The page has already been validated. So such an error occurs only if another request has changed
    a user in the meantime.
    """

    @wraps(view)
    def shown(
        admin: UserAdmin, request: HttpRequest, object_id: Any = None, *args: Any, **more: Any
    ) -> HttpResponse:
        try:
            return view(admin, request, object_id, *args, **more)
        except APIError as error:
            if error.status not in {400, 409}:
                raise
            messages.error(request, error.message)
            page = ("admin:users_user_change", object_id) if object_id else (request.path,)
            return redirect(*page)

    return shown


RoleFilter = choice_filter(
    "role", roles.DISPLAY_NAMES, lambda users, role: users.filter(roles__contains=[role])
)


@admin.register(User)
class UserAdmin(AuditedAdmin[User], StockUserAdmin[User]):
    form = ChangeForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    list_display = ["username", "email", "state", "role_names", "last_seen"]
    list_filter = ["status", RoleFilter, "source"]
    search_fields = ["username", "email", "name"]
    filter_horizontal = []
    readonly_fields = ["source", "data", *TIMES]
    fieldsets = [
        (None, {"fields": ["username", "email", "name", "password", "source"]}),
        ("Access", {"fields": ["status", "roles"]}),
        ("Tokens, limits and audit trail", {"fields": ["data"]}),
        ("Times", {"fields": [TIMES]}),
    ]
    add_fieldsets = [(None, {"fields": ["username", "email", "password1", "password2"]})]

    @admin.display(description="roles")
    def role_names(self, user: User) -> str:
        return ", ".join(user.roles) or "member"

    @admin.display(description="status", ordering="status")
    def state(self, user: User) -> str:
        return badge(user.status, STATES[User.Status(user.status)])

    created = time_column("created_at", "created")
    updated = time_column("updated_at", "changed")
    last_seen = time_column("last_seen_at", "last seen")
    last_sign_in = time_column("last_login", "last sign-in to the admin")

    @admin.display(description="links")
    def data(self, user: User) -> str:
        """Returns links to the user's tokens, limits and audit entries."""
        found = erasure.survey(user, [rule for rule in erasure.rules if rule.page])
        links = [(cast("Any", rule.page)(user), f"{rule.data} ({rows})") for rule, rows in found]
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    def get_object(self, request: HttpRequest, *args: Any, **more: Any) -> User | None:
        found: Any = super().get_object(request, *args, **more)
        if found is not None:
            found.changed_by = actor_of(request)
        return cast("User | None", found)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Hides the links from users who may not open the linked pages."""
        found = super().get_fieldsets(request, obj)
        if _user_of(request).has_module_perms("tokens"):
            return found
        return [(name, more) for name, more in found if more["fields"] != ["data"]]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only owners change roles."""
        found = super().get_readonly_fields(request, obj)
        return found if roles.OWNER in _user_of(request).roles else [*found, "roles"]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **more: Any
    ) -> HttpResponse:
        """Hides the link to the audit trail from users who may not open it."""
        context["has_history"] = _user_of(request).has_perm("audit.view_entry")
        return super().render_change_form(request, context, *args, **more)

    def user_change_password(
        self, request: HttpRequest, id: str, *args: Any, **more: Any
    ) -> HttpResponse:
        """Sets the password of another user. Another page changes the caller's own password."""
        user = self.get_object(request, unquote(id))
        if user is not None and user.pk == _user_of(request).pk:
            return redirect("admin:password_change")
        if user is not None and not _may(request, "user:update_personal", on=user):
            raise PermissionDenied
        return super().user_change_password(request, id, *args, **more)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        actor, now = actor_of(request), timezone.now()
        if not change:
            services.insert_user(obj, actor=actor, now=now)
            return
        with services.keeping_an_owner():
            stored = services.lock_user(get_object_or_404(User, pk=obj.pk))
            services.set_names(stored, obj, actor=actor, now=now)
            change_access(stored, form.cleaned_data, actor=actor)

    # Django's own views run in a transaction. Django's inner methods are called without it, so that
    # the database connection can be released while a password is hashed. `save_model` has its own
    # transaction.
    add_view = STOCK._add_view
    changeform_view = or_message(STOCK._changeform_view)
    delete_view = or_message(STOCK.delete_view)

    def history_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        """Redirects to the entries by the user and about the user."""
        return redirect(entries_page(person=object_id))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Forbids changes of copies, because the next lookup would undo them.

        A user admin cannot change owners.
        """
        if obj is not None and (obj.is_copy or not _may(request, "user:update", on=obj)):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Allows deleting one user at a time, so that errors can be shown on the user's page.

        The caller's own account cannot be deleted. A user admin cannot delete owners.
        """
        return (
            super().has_delete_permission(request, obj)
            and obj is not None
            and _may(request, "user:delete", on=obj)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Returns the numbers of rows that the deletion affects, for Django's confirmation page.

        Callers need no permissions for the models of these rows.
        """
        rules = erasure.rules_of_deletion()
        found = [line for user in objs for line in erasure.survey(user, rules)]
        return found, {}, set(), []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        erasure.delete_user(obj, actor=actor_of(request), now=timezone.now())


def _card(now: datetime) -> list[Line]:
    url = reverse("admin:users_user_changelist")
    return [
        Line(str(status.label).lower(), str(count), link=f"{url}?status={status}")
        for status, count in selectors.counts_by_status().items()
    ]


register("Users", _card, order=60)
