from __future__ import annotations

from django.urls import path

from tokens.views import TokenConfigView

urlpatterns = [
    path("users/<str:user>/keys/tokens/tokenconfig", TokenConfigView.as_view()),
]
