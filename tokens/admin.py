from __future__ import annotations

from django.contrib import admin

from coderapi.admin_base import ReadOnlyAdmin
from tokens.models import APIKey, TokenConfig


@admin.register(APIKey)
class APIKeyAdmin(ReadOnlyAdmin):
    """Keys to look at; never a secret, nor its digest."""

    list_display = ["id", "token_name", "user", "login_type", "last_used", "expires_at"]
    list_filter = ["login_type", "expires_at"]
    search_fields = ["id", "token_name", "user__username"]
    list_select_related = ["user"]
    exclude = ["hashed_secret"]


@admin.register(TokenConfig)
class TokenConfigAdmin(admin.ModelAdmin[TokenConfig]):
    list_display = ["subject", "max_token_lifetime", "updated_at"]
    list_select_related = ["user"]
    search_fields = ["user__username", "role"]
    autocomplete_fields = ["user"]
