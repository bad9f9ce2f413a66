from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from deployment.selectors import build_info, ssh_config
from deployment.serializers import (
    BuildInfoSerializer,
    DeploymentConfigSerializer,
    SSHConfigSerializer,
    UpdateCheckSerializer,
)
from deployment.updatecheck import TOPIC, update
from kernel.http import wire
from kernel.http.documents import Document
from kernel.http.rendering import render_json
from kernel.http.views import DocumentView, PublicDocumentView
from options.rendering import config_document, options_document
from users.permissions import may


class BuildInfoView(PublicDocumentView):
    document = Document(
        "buildinfo", lambda: render_json(BuildInfoSerializer(build_info()).data), public=True
    )

    @extend_schema(
        operation_id="build-info",
        summary="Build info",
        tags=["General"],
        description="What this build is, and which versions it speaks.",
        responses={200: BuildInfoSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


def _deployment_config() -> bytes:
    chosen = wire.current()
    found = {
        "config": config_document(settings.CONFIGURATION, wire=chosen.value),
        "options": options_document(settings.CONFIGURATION, wire=chosen.value),
    }
    return render_json(DeploymentConfigSerializer(found).data)


class DeploymentConfigView(DocumentView):
    permission_classes = [may("deployment_config:read")]
    document = Document("config", _deployment_config)

    @extend_schema(
        operation_id="get-deployment-config",
        summary="Get deployment config",
        tags=["General"],
        description="Coder's whole configuration as it is in force, without secrets, and for each "
        "option where its value comes from.",
        responses={200: DeploymentConfigSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class SSHConfigView(DocumentView):
    document = Document("ssh", lambda: render_json(SSHConfigSerializer(ssh_config()).data))

    @extend_schema(
        operation_id="ssh-config",
        summary="SSH Config",
        tags=["General"],
        description="What clients write into their SSH configuration for workspaces.",
        responses={200: SSHConfigSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class UpdateCheckView(PublicDocumentView):
    document = Document(
        "updatecheck",
        lambda: render_json(UpdateCheckSerializer(update()).data),
        topic=TOPIC,
        public=True,
    )

    @extend_schema(
        operation_id="update-check",
        summary="Update check",
        tags=["General"],
        description="Whether a newer release of Coder is known. Nothing is fetched by this call.",
        responses={200: UpdateCheckSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)
