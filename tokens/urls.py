from __future__ import annotations

from django.urls import path

from tokens.views import (
    AuthMethodsView,
    ExpireKeyView,
    ExplainTokenConfigView,
    KeyView,
    LoginView,
    LogoutView,
    SessionKeysView,
    TokenByNameView,
    TokenConfigView,
    TokensView,
)

urlpatterns = [
    path("users/authmethods", AuthMethodsView.as_view()),
    path("users/login", LoginView.as_view()),
    path("users/logout", LogoutView.as_view()),
    path("users/<user:user>/keys", SessionKeysView.as_view()),
    path("users/<user:user>/keys/tokens", TokensView.as_view()),
    path("users/<user:user>/keys/tokens/tokenconfig", TokenConfigView.as_view()),
    path("users/<user:user>/keys/tokens/tokenconfig/explain", ExplainTokenConfigView.as_view()),
    path("users/<user:user>/keys/tokens/<str:name>", TokenByNameView.as_view()),
    path("users/<user:user>/keys/<str:key_id>", KeyView.as_view()),
    path("users/<user:user>/keys/<str:key_id>/expire", ExpireKeyView.as_view()),
]
