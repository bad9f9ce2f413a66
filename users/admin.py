from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group

from users.models import User

admin.site.unregister(Group)


class CreationForm(AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ["username", "email"]


class ChangeForm(UserChangeForm[User]):
    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class UserAdmin(StockUserAdmin):
    form = ChangeForm
    add_form = CreationForm
    list_display = ["username", "email", "status", "role_names", "last_seen_at"]
    list_filter = ["status"]
    search_fields = ["username", "email", "name"]
    ordering = ["username"]
    filter_horizontal = []
    readonly_fields = ["created_at", "updated_at", "last_seen_at", "last_login"]
    fieldsets = [
        (None, {"fields": ["username", "email", "name", "password"]}),
        ("Access", {"fields": ["status", "roles"]}),
        ("Times (UTC)", {"fields": readonly_fields}),
    ]
    add_fieldsets = [(None, {"fields": ["username", "email", "password1", "password2"]})]

    @admin.display(description="roles")
    def role_names(self, user: User) -> str:
        return ", ".join(user.roles) or "member"
