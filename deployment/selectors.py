"""Returns the build info, the identity and the SSH settings of the deployment."""

from __future__ import annotations

import base64
import re
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from deployment.models import DeploymentIdentity
from kernel.release import notes_url

AGENT_API_VERSION = "1.0"
PROVISIONER_API_VERSION = "1.14"


def external_url() -> str:
    """Returns the URL of this release's notes, or the access URL if the repository is unknown."""
    return notes_url(settings.VERSION) or str(settings.ACCESS_URL)


def build_info() -> dict[str, object]:
    """Returns the response of `GET /buildinfo`. Shape: codersdk.BuildInfoResponse."""
    identity = deployment_identity()
    return {
        "agent_api_version": AGENT_API_VERSION,
        "dashboard_url": settings.ACCESS_URL,
        "deployment_id": str(identity.deployment_id),
        "external_url": external_url(),
        "oauth2_provider": False,
        "provisioner_api_version": PROVISIONER_API_VERSION,
        "telemetry": settings.CONFIGURATION["telemetry.enable"],
        "upgrade_message": settings.CONFIGURATION["cli_upgrade_message"],
        "version": settings.BUILD_VERSION,
        "webpush_public_key": identity.vapid_public_key,
        "workspace_proxy": False,
    }


def deployment_identity() -> DeploymentIdentity:
    """Returns the deployment's id and web-push key. The first call creates them."""
    found = DeploymentIdentity.objects.first()
    return found or DeploymentIdentity.objects.get_or_create(defaults=_web_push_keys())[0]


def _web_push_keys() -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The public key is an uncompressed point in unpadded base64url. Source: RFC 8292.
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    public = base64.urlsafe_b64encode(point).rstrip(b"=").decode()
    return {"vapid_private_key": private, "vapid_public_key": public}


def ssh_config() -> dict[str, object]:
    """Returns the response of `GET /deployment/ssh`. Shape: codersdk.SSHConfigResponse."""
    return {
        "hostname_prefix": settings.SSH_HOSTNAME_PREFIX,
        "hostname_suffix": settings.SSH_HOSTNAME_SUFFIX,
        # Every option contains a space or `=`: the configuration rejects others.
        "ssh_config_options": dict(
            re.split("[ =]", option, maxsplit=1) for option in settings.SSH_CONFIG_OPTIONS
        ),
    }
