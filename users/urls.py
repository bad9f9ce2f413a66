from __future__ import annotations

from django.urls import path

from users import views

urlpatterns = [
    path("authcheck", views.AuthCheckView.as_view()),
    path("users", views.UsersView.as_view()),
    path("users/first", views.FirstUserView.as_view()),
    path("users/<user:user>", views.UserView.as_view()),
    path("users/<user:user>/login-type", views.LoginTypeView.as_view()),
    path("users/<user:user>/password", views.PasswordView.as_view()),
    path("users/<user:user>/roles", views.RolesView.as_view()),
    path("users/<user:user>/status/activate", views.ActivateView.as_view()),
    path("users/<user:user>/status/suspend", views.SuspendView.as_view()),
]
