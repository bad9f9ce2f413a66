from __future__ import annotations

from django.urls import path

from users.views import FirstUserView

urlpatterns = [
    path("users/first", FirstUserView.as_view()),
]
