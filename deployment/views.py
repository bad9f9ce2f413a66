from __future__ import annotations

from django.conf import settings

from deployment.selectors import build_info, ssh_config
from deployment.serializers import (
    BuildInfoResponse,
    DeploymentConfigSerializer,
    SSHConfigResponse,
    UpdateCheckResponse,
)
from deployment.updatecheck import TOPIC, update
from kernel.http import wire
from kernel.http.schema import ResponseSerializer
from kernel.http.views.base import DocumentView, PublicDocumentView, document_operation
from kernel.http.views.documents import Document
from kernel.http.views.rendering import render_json
from options.rendering import config_document, options_document
from users.permissions import Authenticated, may


class BuildInfoView(PublicDocumentView):
    document = Document(
        "buildinfo", lambda: render_json(BuildInfoResponse(build_info()).data), public=True
    )

    get = document_operation(
        "Build info",
        description="Returns the server's version and identity. Clients compare the version with "
        "their own. No session token is needed.",
        answers={200: BuildInfoResponse},
    )


def _deployment_config() -> bytes:
    form = wire.current().value
    document = {
        "config": config_document(settings.CONFIGURATION, wire_format=form),
        "options": options_document(settings.CONFIGURATION, wire_format=form),
    }
    return render_json(DeploymentConfigSerializer(document).data)


class DeploymentConfigView(DocumentView):
    permission_classes = [may("deployment_config:read")]
    document = Document("config", _deployment_config)

    get = document_operation(
        "Get deployment config",
        description="Returns the current configuration: the values of all options as a tree, and "
        "a list of all options with the source of each value. Secrets are omitted. Requires the "
        "role owner or auditor.",
        answers={200: DeploymentConfigSerializer, 403: ResponseSerializer},
    )


class SSHConfigView(DocumentView):
    permission_classes = [Authenticated]
    document = Document("ssh", lambda: render_json(SSHConfigResponse(ssh_config()).data))

    get = document_operation(
        "SSH Config",
        description="Returns the settings for workspaces that clients write to the SSH "
        "configuration of a user.",
        answers={200: SSHConfigResponse},
    )


class UpdateCheckView(PublicDocumentView):
    document = Document(
        "updatecheck",
        lambda: render_json(UpdateCheckResponse(update()).data),
        topic=TOPIC,
        public=True,
    )

    get = document_operation(
        "Update check",
        description="Returns the newest known release of Coder. The server requests the newest "
        "release once a day, not when this operation is called. No session token is needed.",
        answers={200: UpdateCheckResponse},
    )
