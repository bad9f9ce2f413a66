"""What `GET /buildinfo` says of this build."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from deployment.identity import deployment_identity

PROJECT_URL = "https://github.com/coderapi/coderapi"
AGENT_API_VERSION = "1.0"
PROVISIONER_API_VERSION = "1.14"


@dataclass(frozen=True, slots=True)
class BuildInfo:
    agent_api_version: str
    dashboard_url: str
    deployment_id: str
    external_url: str
    provisioner_api_version: str
    telemetry: bool
    upgrade_message: str
    version: str
    webpush_public_key: str
    workspace_proxy: bool


def external_url() -> str:
    """Where this very release of ours is described."""
    return f"{PROJECT_URL}/releases/tag/v{settings.VERSION}"


def build_info() -> BuildInfo:
    identity = deployment_identity()
    return BuildInfo(
        agent_api_version=AGENT_API_VERSION,
        dashboard_url=settings.ACCESS_URL,
        deployment_id=str(identity.deployment_id),
        external_url=external_url(),
        provisioner_api_version=PROVISIONER_API_VERSION,
        telemetry=settings.TELEMETRY,
        upgrade_message=settings.CLI_UPGRADE_MESSAGE,
        version=settings.BUILD_VERSION,
        webpush_public_key=identity.vapid_public_key,
        workspace_proxy=False,
    )
