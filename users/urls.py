from __future__ import annotations

from django.urls import path

from users import organizations, views

ONE = "organizations/<str:organization>"
urlpatterns = [
    path("organizations", organizations.OrganizationsView.as_view()),
    path(ONE, organizations.OrganizationView.as_view()),
    path(f"{ONE}/members", organizations.MembersView.as_view()),
    path(f"{ONE}/paginated-members", organizations.PaginatedMembersView.as_view()),
    path("authcheck", views.AuthCheckView.as_view()),
    path("users", views.UsersView.as_view()),
    path("users/first", views.FirstUserView.as_view()),
    path("users/roles", views.SiteRolesView.as_view()),
    path("users/<user:user>", views.UserView.as_view()),
    path("users/<user:user>/login-type", views.LoginTypeView.as_view()),
    path("users/<user:user>/organizations", organizations.OfUserView.as_view()),
    path(f"users/<user:user>/{ONE}", organizations.OneOfUserView.as_view()),
    path("users/<user:user>/password", views.PasswordView.as_view()),
    path("users/<user:user>/roles", views.RolesView.as_view()),
    path("users/<user:user>/status/activate", views.ActivateView.as_view()),
    path("users/<user:user>/status/suspend", views.SuspendView.as_view()),
]
