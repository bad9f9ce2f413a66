from __future__ import annotations

from django.urls import path

from tokens import views

KEYS = "users/<user:user>/keys"
urlpatterns = [
    path("users/authmethods", views.AuthMethodsView.as_view()),
    path("users/login", views.LoginView.as_view()),
    path("users/logout", views.LogoutView.as_view()),
    path(KEYS, views.SessionKeysView.as_view()),
    path(f"{KEYS}/tokens", views.TokensView.as_view()),
    path(f"{KEYS}/tokens/tokenconfig", views.TokenConfigView.as_view()),
    path(f"{KEYS}/tokens/<str:name>", views.TokenByNameView.as_view()),
    path(f"{KEYS}/<str:key_id>", views.KeyView.as_view()),
    path(f"{KEYS}/<str:key_id>/expire", views.ExpireKeyView.as_view()),
]
own = [path("users/<user:user>/token-policy", views.TokenPolicyView.as_view())]
