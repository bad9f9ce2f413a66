from __future__ import annotations

from rest_framework import serializers

from coderapi.serializers import WireSerializer


class BuildInfoSerializer(WireSerializer):
    component = "codersdk.BuildInfoResponse"

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

    hostname_prefix = serializers.CharField(help_text="What SSH host names start with.")
    hostname_suffix = serializers.CharField(help_text="What SSH host names end with.")
    ssh_config_options = serializers.DictField(
        child=serializers.CharField(), help_text="Options to add to the SSH configuration."
    )


class UpdateCheckSerializer(WireSerializer):
    component = "codersdk.UpdateCheckResponse"

    current = serializers.BooleanField(help_text="Whether no newer release is known.")
    url = serializers.CharField(help_text="Where the newest known release is described.")
    version = serializers.CharField(help_text="The newest known release.")


class DeploymentConfigSerializer(WireSerializer):
    component = "codersdk.DeploymentConfig"

    config = serializers.JSONField(help_text="Every value, by group; durations in nanoseconds.")
    options = serializers.JSONField(help_text="Every option, with its value and its source.")
