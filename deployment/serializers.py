from __future__ import annotations

from typing import Any

from rest_framework import serializers

from kernel.http.rendering import WireSerializer


class BuildInfoSerializer(WireSerializer):
    component = "codersdk.BuildInfoResponse"
    about = "The server's version and identity."
    example = {
        "agent_api_version": "1.0",
        "dashboard_url": "https://coder.example.com",
        "deployment_id": "6b3c1f6e-9a0d-4c53-8f3b-0d9f2f1b7a52",
        "external_url": "https://coderapi.example.com",
        "provisioner_api_version": "1.14",
        "telemetry": False,
        "upgrade_message": "",
        "version": "v2.29.0+coderapi.0.1.0",
        "webpush_public_key": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u"
        "-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "workspace_proxy": False,
    }

    agent_api_version = serializers.CharField(help_text="The version of the agent API.")
    dashboard_url = serializers.CharField(help_text="The URL at which users reach the deployment.")
    deployment_id = serializers.CharField(help_text="The UUID of the deployment. It never changes.")
    external_url = serializers.CharField(help_text="The URL of the release notes.")
    provisioner_api_version = serializers.CharField(help_text="The version of the provisioner API.")
    telemetry = serializers.BooleanField(help_text="Whether telemetry is enabled.")
    upgrade_message = serializers.CharField(
        help_text="The message that the CLI shows if its version differs. Empty for its default."
    )
    version = serializers.CharField(
        help_text="The server's version: a semantic version after a `v`."
    )
    webpush_public_key = serializers.CharField(
        help_text="The key for browser subscriptions to notifications (VAPID, unpadded base64url)."
    )
    workspace_proxy = serializers.BooleanField(
        help_text="Always false: the server is not a workspace proxy."
    )


class SSHConfigSerializer(WireSerializer):
    component = "codersdk.SSHConfigResponse"
    about = "Settings for a user's SSH configuration."
    example = {
        "hostname_prefix": "coder.",
        "hostname_suffix": "coder",
        "ssh_config_options": {"ForwardAgent": "yes"},
    }

    hostname_prefix = serializers.CharField(
        help_text="The text before a workspace's name in its SSH host name, such as `coder.`."
    )
    hostname_suffix = serializers.CharField(
        help_text="The last label of a workspace's SSH host name, without its dot."
    )
    ssh_config_options = serializers.DictField(
        child=serializers.CharField(),
        help_text="SSH options for every workspace, by their OpenSSH name.",
    )


class UpdateCheckSerializer(WireSerializer):
    component = "codersdk.UpdateCheckResponse"
    about = "The newest known release."
    example = {
        "current": False,
        "url": "https://github.com/coder/coder/releases/tag/v2.29.1",
        "version": "v2.29.1",
    }

    current = serializers.BooleanField(help_text="Whether no newer release is known.")
    url = serializers.CharField(help_text="The URL of the newest release's notes.")
    version = serializers.CharField(help_text="The version of the newest release.")


class ConfigField(serializers.JSONField):
    """The tree of values. The schema comes from the catalogue."""


class OptionField(serializers.JSONField):
    """One option. The schema comes from the catalogue."""


class DeploymentConfigSerializer(WireSerializer):
    component = "codersdk.DeploymentConfig"
    about = "The configuration of the deployment."

    config = ConfigField(help_text="All values, as a tree.")
    options: Any = serializers.ListField(
        child=OptionField(), help_text="All options, each with its value and source."
    )
