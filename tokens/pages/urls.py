from __future__ import annotations

from django.urls import path

from tokens.pages import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login", views.login, name="login"),
    path("logout", views.logout, name="logout"),
    path("cli-auth", views.cli_auth, name="cli-auth"),
    path("account", views.account, name="account"),
    path("account/tokens", views.create_token, name="create-token"),
    path("account/tokens/<str:key_id>/rename", views.rename_token, name="rename-token"),
    path("account/tokens/<str:key_id>/revoke", views.revoke_key, name="revoke-key"),
    path("account/password", views.change_password, name="change-password"),
]
