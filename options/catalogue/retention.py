"""How long records are kept."""

from __future__ import annotations

from options.catalogue.groups import RETENTION
from options.option import Option
from options.values import Duration

RETENTION_OPTIONS = (
    Option(
        name="Audit Logs Retention",
        description=(
            "How long entries of the audit log are kept; 0 keeps them for ever. Ask your auditors "
            "before you shorten it."
        ),
        type=Duration(),
        json_path="retention.audit_logs",
        env="CODER_AUDIT_LOGS_RETENTION",
        flag="audit-logs-retention",
        yaml="audit_logs",
        default="0",
        group=RETENTION,
        obeyed=True,
    ),
    Option(
        name="Connection Logs Retention",
        description="How long records of workspace connections are kept; 0 keeps them for ever.",
        type=Duration(),
        json_path="retention.connection_logs",
        env="CODER_CONNECTION_LOGS_RETENTION",
        flag="connection-logs-retention",
        yaml="connection_logs",
        default="0",
        group=RETENTION,
    ),
    Option(
        name="API Keys Retention",
        description=(
            "How long expired API keys are kept before they are deleted; 0 keeps them for ever. "
            "Meanwhile their owners learn that a key is expired rather than unknown."
        ),
        type=Duration(),
        json_path="retention.api_keys",
        env="CODER_API_KEYS_RETENTION",
        flag="api-keys-retention",
        yaml="api_keys",
        default="7d",
        group=RETENTION,
        obeyed=True,
    ),
    Option(
        name="Workspace Agent Logs Retention",
        description=(
            "How long logs of workspace agents are kept once a newer build exists; 0 keeps them "
            "for ever."
        ),
        type=Duration(),
        json_path="retention.workspace_agent_logs",
        env="CODER_WORKSPACE_AGENT_LOGS_RETENTION",
        flag="workspace-agent-logs-retention",
        yaml="workspace_agent_logs",
        default="7d",
        group=RETENTION,
    ),
)
