"""Prebuilt workspaces, and the gateway to AI providers."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import AI_BRIDGE, AI_BRIDGE_PROXY, CLIENT, PREBUILDS
from options.option import Option
from options.values import Bool, Duration, Integer, Text, TextList

_prebuilds_option = partial(Option, group=PREBUILDS)
_ai_bridge_option = partial(Option, group=AI_BRIDGE)
_ai_bridge_proxy_option = partial(Option, group=AI_BRIDGE_PROXY)

AI_OPTIONS = (
    _prebuilds_option(
        "Reconciliation Interval",
        "How often the number of ready-made workspaces is brought back to what templates ask for.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL",
        yaml="reconciliation_interval",
        default="1m0s",
    ),
    _prebuilds_option(
        "Reconciliation Backoff Interval",
        "By how much longer to wait after each failed attempt to make a workspace ahead of need.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL",
        yaml="reconciliation_backoff_interval",
        default="1m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Reconciliation Backoff Lookback Period",
        "How far back failed attempts are counted to choose that wait.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD",
        yaml="reconciliation_backoff_lookback_period",
        json_path="workspace_prebuilds.reconciliation_backoff_lookback",
        default="1h0m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Failure Hard Limit",
        "After how many failures in a row a preset makes no more workspaces ahead of need. Zero "
        "never stops.",
        Integer(),
        env="CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT",
        yaml="failure_hard_limit",
        default="3",
        hidden=True,
    ),
    Option(
        "Hide AI Tasks",
        "Leave the pages for AI tasks out of the dashboard. For deployments that do not offer "
        "them.",
        Bool(),
        env="CODER_HIDE_AI_TASKS",
        default="false",
        group=CLIENT,
    ),
    _ai_bridge_option(
        "AI Bridge Enabled",
        "Run the gateway through which tools in workspaces reach AI providers. Switch it on to log "
        "and limit that use.",
        Bool(),
        env="CODER_AIBRIDGE_ENABLED",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge OpenAI Base URL",
        "The address of OpenAI's API, or of a service that speaks the same protocol.",
        Text(),
        env="CODER_AIBRIDGE_OPENAI_BASE_URL",
        yaml="openai_base_url",
        json_path="ai.bridge.openai.base_url",
        default="https://api.openai.com/v1/",
    ),
    _ai_bridge_option(
        "AI Bridge OpenAI Key",
        "The key with which the gateway signs in to OpenAI.",
        Text(),
        env="CODER_AIBRIDGE_OPENAI_KEY",
        json_path="ai.bridge.openai.key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Anthropic Base URL",
        "The address of Anthropic's API, or of a service that speaks the same protocol.",
        Text(),
        env="CODER_AIBRIDGE_ANTHROPIC_BASE_URL",
        yaml="anthropic_base_url",
        json_path="ai.bridge.anthropic.base_url",
        default="https://api.anthropic.com/",
    ),
    _ai_bridge_option(
        "AI Bridge Anthropic Key",
        "The key with which the gateway signs in to Anthropic.",
        Text(),
        env="CODER_AIBRIDGE_ANTHROPIC_KEY",
        json_path="ai.bridge.anthropic.key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Region",
        "The AWS region whose Bedrock service the gateway uses.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_REGION",
        yaml="bedrock_region",
        json_path="ai.bridge.bedrock.region",
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Access Key",
        "The id of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_ACCESS_KEY",
        json_path="ai.bridge.bedrock.access_key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Access Key Secret",
        "The secret part of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_ACCESS_KEY_SECRET",
        json_path="ai.bridge.bedrock.access_key_secret",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Model",
        "The model that is asked through Bedrock for ordinary requests.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_MODEL",
        yaml="bedrock_model",
        json_path="ai.bridge.bedrock.model",
        default="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Small Fast Model",
        "The model that is asked through Bedrock for small tasks where speed counts.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_SMALL_FAST_MODEL",
        flag="aibridge-bedrock-small-fastmodel",
        yaml="bedrock_small_fast_model",
        json_path="ai.bridge.bedrock.small_fast_model",
        default="global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    _ai_bridge_option(
        "AI Bridge Inject Coder MCP tools",
        "Offer Coder's own tools to AI models on top of what the client brings. Needs the "
        "experiments oauth2 and mcp-server-http.",
        Bool(),
        env="CODER_AIBRIDGE_INJECT_CODER_MCP_TOOLS",
        yaml="inject_coder_mcp_tools",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Data Retention Duration",
        "How long records of AI requests are kept. They may hold what people typed, so no longer "
        "than needed.",
        Duration(),
        env="CODER_AIBRIDGE_RETENTION",
        default="60d",
    ),
    _ai_bridge_option(
        "AI Bridge Max Concurrency",
        "The most AI requests at once on each server; 0 sets no limit.",
        Integer(),
        env="CODER_AIBRIDGE_MAX_CONCURRENCY",
        default="0",
    ),
    _ai_bridge_option(
        "AI Bridge Rate Limit",
        "The most AI requests a second on each server; 0 sets no limit.",
        Integer(),
        env="CODER_AIBRIDGE_RATE_LIMIT",
        default="0",
    ),
    _ai_bridge_option(
        "AI Bridge Structured Logging",
        "Write a log line with fields for each AI request. For feeding audits in other systems.",
        Bool(),
        env="CODER_AIBRIDGE_STRUCTURED_LOGGING",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Enabled",
        "Stop asking an AI provider for a while when it keeps refusing. Keeps one provider's "
        "trouble from spreading.",
        Bool(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_ENABLED",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Failure Threshold",
        "After how many failures in a row a provider is left alone, from 1 to 100.",
        Integer(minimum=1, maximum=100),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        default="5",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Interval",
        "After how much time the count of failures starts again from 0.",
        Duration(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_INTERVAL",
        default="10s",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Timeout",
        "How long a provider is left alone before it is tried again.",
        Duration(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_TIMEOUT",
        default="30s",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Max Requests",
        "How many requests may try out a provider that was left alone, from 1 to 100.",
        Integer(minimum=1, maximum=100),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_MAX_REQUESTS",
        default="3",
        hidden=True,
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Enabled",
        "Run an HTTP proxy that leads known AI providers' traffic through the gateway. For tools "
        "whose provider address cannot be changed.",
        Bool(),
        env="CODER_AIBRIDGE_PROXY_ENABLED",
        default="false",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Listen Address",
        "The address and port on which that proxy listens.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_LISTEN_ADDR",
        yaml="listen_addr",
        default=":8888",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Certificate File",
        "The certificate of the authority with which the proxy opens TLS connections, in PEM "
        "format. Workspaces must trust it.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_CERT_FILE",
        yaml="cert_file",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Key File",
        "The private key of the proxy's certificate authority, in PEM format.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_KEY_FILE",
        yaml="key_file",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Domain Allowlist",
        "The host names whose traffic the proxy opens; all others pass through unread.",
        TextList(),
        env="CODER_AIBRIDGE_PROXY_DOMAIN_ALLOWLIST",
        yaml="domain_allowlist",
        default="api.anthropic.com,api.openai.com,api.individual.githubcopilot.com",
        hidden=True,
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Upstream Proxy",
        "A further proxy through which other traffic is passed on.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_UPSTREAM",
        yaml="upstream_proxy",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Upstream Proxy CA",
        "A file with the certificate authority of the further proxy, in PEM format.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_UPSTREAM_CA",
        yaml="upstream_proxy_ca",
    ),
)
