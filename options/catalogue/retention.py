"""Options for the retention of records, for the template builder and for developers of Coder."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import RETENTION, TEMPLATE_BUILDER
from options.option import Option
from options.values.scalars import Bool, Duration, Text

_retention_option = partial(Option, group=RETENTION)

RETENTION_OPTIONS = (
    _retention_option(
        "Audit Logs Retention",
        "How long audit log entries are kept. 0 keeps them forever. Ask your auditors before you "
        "shorten it.",
        Duration(),
        env="CODER_AUDIT_LOGS_RETENTION",
        yaml="audit_logs",
        default="0",
        obeyed=True,
    ),
    _retention_option(
        "Connection Logs Retention",
        "How long records of workspace connections are kept. 0 keeps them forever.",
        Duration(),
        env="CODER_CONNECTION_LOGS_RETENTION",
        yaml="connection_logs",
        default="0",
    ),
    _retention_option(
        "API Keys Retention",
        "How long expired API keys are kept. 0 keeps them forever. While an expired key is kept, "
        "the error for a request with this key says that the key expired. Later, it says that the "
        "key is unknown.",
        Duration(),
        env="CODER_API_KEYS_RETENTION",
        yaml="api_keys",
        default="7d",
        obeyed=True,
    ),
    _retention_option(
        "Workspace Agent Logs Retention",
        "How long agent logs of older workspace builds are kept. 0 keeps them forever.",
        Duration(),
        env="CODER_WORKSPACE_AGENT_LOGS_RETENTION",
        yaml="workspace_agent_logs",
        default="7d",
    ),
    _retention_option(
        "Boundary Log Retention",
        "How long records of the network requests of AI agents are kept. 0 keeps them forever.",
        Duration(),
        env="CODER_BOUNDARY_LOG_RETENTION",
        yaml="boundary_logs",
        default="0",
        documented=False,
    ),
    Option(
        "Enable Authorization Recordings",
        "Record the authorization decisions of each request, for developers of Coder. It works "
        "only in development builds.",
        Bool(),
        env="CODER_ENABLE_AUTHZ_RECORDINGS",
        yaml="",
        json_path="enable_authz_recording",
        default="false",
        hidden=True,
    ),
    Option(
        "Disable Template Builder",
        "Remove the page that creates templates from modules from the dashboard.",
        Bool(),
        env="CODER_DISABLE_TEMPLATE_BUILDER",
        yaml="disabled",
        group=TEMPLATE_BUILDER,
        documented=False,
    ),
    Option(
        "Template Builder Registry URL",
        "The host of the registry from which the template builder reads modules and templates.",
        Text(),
        env="CODER_TEMPLATE_BUILDER_REGISTRY_URL",
        yaml="registryURL",
        default="registry.coder.com",
        group=TEMPLATE_BUILDER,
        documented=False,
    ),
)
