from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework import serializers

from kernel.http import wire
from kernel.http.views.rendering import WireSerializer
from options.option_formats import Schema, ref
from options.schema import OPTION, VALUES, components

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction


class CatalogueField(serializers.JSONField):
    """A field whose schema is a component that is built from the catalogue."""

    def __init__(self, component: str, **more: Any) -> None:
        super().__init__(**more)
        self.component = component


class CatalogueFieldExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = CatalogueField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        for name, schema in components(wire.current().value).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return ref(self.target.component)


class BuildInfoResponse(WireSerializer):
    about = "The server's version and identity."
    example = {
        "agent_api_version": "1.0",
        "dashboard_url": "https://coder.example.com",
        "deployment_id": "6b3c1f6e-9a0d-4c53-8f3b-0d9f2f1b7a52",
        "external_url": "https://coderapi.example.com",
        "oauth2_provider": False,
        "provisioner_api_version": "1.14",
        "telemetry": False,
        "upgrade_message": "",
        "version": "v2.34.1+coderapi.0.2.0",
        "webpush_public_key": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u"
        "-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "workspace_proxy": False,
    }

    agent_api_version = serializers.CharField(help_text="The version of the agent API.")
    dashboard_url = serializers.CharField(help_text="The URL at which users reach the deployment.")
    deployment_id = serializers.CharField(help_text="The UUID of the deployment. It never changes.")
    external_url = serializers.CharField(help_text="The URL of the release notes.")
    oauth2_provider = serializers.BooleanField(
        help_text="Whether the server issues tokens to OAuth2 applications. Always false."
    )
    provisioner_api_version = serializers.CharField(help_text="The version of the provisioner API.")
    telemetry = serializers.BooleanField(help_text="Whether telemetry is enabled.")
    upgrade_message = serializers.CharField(
        help_text="The message that the CLI shows if its version differs from the server's. Empty "
        "for the default message of the CLI."
    )
    version = serializers.CharField(
        help_text="The version of the server: a `v`, then a semantic version."
    )
    webpush_public_key = serializers.CharField(
        help_text="The public key (VAPID, unpadded base64url) with which browsers subscribe to "
        "notifications."
    )
    workspace_proxy = serializers.BooleanField(
        help_text="Always false, because the server is not a workspace proxy."
    )


class SSHConfigResponse(WireSerializer):
    about = "Settings for a user's SSH configuration."
    example = {
        "hostname_prefix": "coder.",
        "hostname_suffix": "coder",
        "ssh_config_options": {"ForwardAgent": "yes"},
    }

    hostname_prefix = serializers.CharField(
        help_text="The prefix of the workspace name in an SSH host name, for example `coder.`."
    )
    hostname_suffix = serializers.CharField(
        help_text="The last part of a workspace's SSH host name, without the dot."
    )
    ssh_config_options = serializers.DictField(
        child=serializers.CharField(),
        help_text="The SSH options for all workspaces, by their OpenSSH names.",
    )


class UpdateCheckResponse(WireSerializer):
    about = "The newest known release."
    example = {
        "current": False,
        "url": "https://github.com/coder/coder/releases/tag/v2.34.2",
        "version": "v2.34.2",
    }

    current = serializers.BooleanField(
        help_text="Whether the server's version is at least the newest known release."
    )
    url = serializers.CharField(help_text="The URL of the notes of the newest release.")
    version = serializers.CharField(help_text="The version of the newest release.")


class DeploymentConfigSerializer(WireSerializer):
    about = "The configuration of the deployment."

    config = CatalogueField(VALUES, help_text="The values of all options, as a tree.")
    options: Any = serializers.ListField(
        child=CatalogueField(OPTION), help_text="All options, each with its value and source."
    )
