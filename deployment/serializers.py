from __future__ import annotations

from typing import Any

from rest_framework import serializers

from kernel.http.rendering import WireSerializer


class BuildInfoSerializer(WireSerializer):
    component = "codersdk.BuildInfoResponse"
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

    agent_api_version = serializers.CharField(help_text="The agent API that is spoken.")
    dashboard_url = serializers.CharField(help_text="The access URL of this deployment.")
    deployment_id = serializers.CharField(help_text="A UUID, made once for this deployment.")
    external_url = serializers.CharField(help_text="Where this release is described.")
    provisioner_api_version = serializers.CharField(help_text="The provisioner API spoken.")
    telemetry = serializers.BooleanField(help_text="Whether telemetry is enabled.")
    upgrade_message = serializers.CharField(help_text="What the CLI says when it is outdated.")
    version = serializers.CharField(help_text="A semantic version with a leading v.")
    webpush_public_key = serializers.CharField(
        help_text="The VAPID public key: a P-256 point in unpadded base64url."
    )
    workspace_proxy = serializers.BooleanField(help_text="Always false: this is no proxy.")


class SSHConfigSerializer(WireSerializer):
    component = "codersdk.SSHConfigResponse"
    example = {
        "hostname_prefix": "coder.",
        "hostname_suffix": "coder",
        "ssh_config_options": {"ForwardAgent": "yes"},
    }

    hostname_prefix = serializers.CharField(help_text="What SSH host names start with.")
    hostname_suffix = serializers.CharField(help_text="What SSH host names end with.")
    ssh_config_options = serializers.DictField(
        child=serializers.CharField(), help_text="Options to add to the SSH configuration."
    )


class UpdateCheckSerializer(WireSerializer):
    component = "codersdk.UpdateCheckResponse"
    example = {
        "current": False,
        "url": "https://github.com/coder/coder/releases/tag/v2.29.1",
        "version": "v2.29.1",
    }

    current = serializers.BooleanField(help_text="Whether no newer release is known.")
    url = serializers.CharField(help_text="Where the newest known release is described.")
    version = serializers.CharField(help_text="The newest known release.")


class ConfigField(serializers.JSONField):
    """The tree of values that `options.rendering` makes; the catalogue describes it."""


class OptionField(serializers.JSONField):
    """One option, as `options.rendering` makes it; the catalogue describes it."""


class DeploymentConfigSerializer(WireSerializer):
    component = "codersdk.DeploymentConfig"

    config = ConfigField(help_text="Every value, by group; durations in nanoseconds.")
    options: Any = serializers.ListField(
        child=OptionField(), help_text="Every option, with its value and its source."
    )
