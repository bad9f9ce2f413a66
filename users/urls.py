from __future__ import annotations

from django.urls import path

from users.views import (
    ActivateView,
    AuthCheckView,
    FirstUserView,
    LoginTypeView,
    PasswordView,
    RolesView,
    SuspendView,
    UsersView,
    UserView,
)

urlpatterns = [
    path("authcheck", AuthCheckView.as_view()),
    path("users", UsersView.as_view()),
    path("users/first", FirstUserView.as_view()),
    path("users/<user:user>", UserView.as_view()),
    path("users/<user:user>/login-type", LoginTypeView.as_view()),
    path("users/<user:user>/password", PasswordView.as_view()),
    path("users/<user:user>/roles", RolesView.as_view()),
    path("users/<user:user>/status/activate", ActivateView.as_view()),
    path("users/<user:user>/status/suspend", SuspendView.as_view()),
]
