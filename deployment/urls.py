from __future__ import annotations

from django.urls import path

from deployment.views import BuildInfoView, DeploymentConfigView, SSHConfigView, UpdateCheckView

urlpatterns = [
    path("buildinfo", BuildInfoView.as_view()),
    path("deployment/config", DeploymentConfigView.as_view()),
    path("deployment/ssh", SSHConfigView.as_view()),
    path("updatecheck", UpdateCheckView.as_view()),
]
