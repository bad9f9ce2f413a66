"""Options for prebuilt workspaces, and for the gateway to AI providers."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import AI_BRIDGE, AI_BRIDGE_PROXY, CLIENT, PREBUILDS
from options.option import Option
from options.values.lists import TextList
from options.values.scalars import Bool, Duration, Integer, Text

_prebuilds_option = partial(Option, group=PREBUILDS)
_ai_bridge_option = partial(Option, group=AI_BRIDGE)
_ai_bridge_proxy_option = partial(Option, group=AI_BRIDGE_PROXY)

AI_OPTIONS = (
    _prebuilds_option(
        "Reconciliation Interval",
        "How often Coder's server creates or deletes prebuilt workspaces to reach the numbers that "
        "templates request.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL",
        yaml="reconciliation_interval",
        default="1m0s",
    ),
    _prebuilds_option(
        "Reconciliation Backoff Interval",
        "The additional waiting time after each failed prebuild.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL",
        yaml="reconciliation_backoff_interval",
        default="1m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Reconciliation Backoff Lookback Period",
        "The period in which failed prebuilds are counted for the Reconciliation Backoff Interval.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD",
        yaml="reconciliation_backoff_lookback_period",
        json_path="workspace_prebuilds.reconciliation_backoff_lookback",
        default="1h0m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Failure Hard Limit",
        "The number of consecutive failures after which no more prebuilds are created for a "
        "preset. 0 means no limit.",
        Integer(),
        env="CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT",
        yaml="failure_hard_limit",
        default="3",
        hidden=True,
    ),
    Option(
        "Hide AI Tasks",
        "Hide the pages for AI tasks in the dashboard.",
        Bool(),
        env="CODER_HIDE_AI_TASKS",
        default="false",
        group=CLIENT,
    ),
    _ai_bridge_option(
        "AI Bridge Enabled",
        "Run a gateway between tools in workspaces and AI providers. The gateway can log and limit "
        "the use of AI.",
        Bool(),
        env="CODER_AIBRIDGE_ENABLED",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge OpenAI Base URL",
        "The URL of OpenAI's API, or of a compatible service.",
        Text(),
        env="CODER_AIBRIDGE_OPENAI_BASE_URL",
        yaml="openai_base_url",
        json_path="ai.bridge.openai.base_url",
        default="https://api.openai.com/v1/",
    ),
    _ai_bridge_option(
        "AI Bridge OpenAI Key",
        "The API key that the gateway uses for OpenAI.",
        Text(),
        env="CODER_AIBRIDGE_OPENAI_KEY",
        json_path="ai.bridge.openai.key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Anthropic Base URL",
        "The URL of Anthropic's API, or of a compatible service.",
        Text(),
        env="CODER_AIBRIDGE_ANTHROPIC_BASE_URL",
        yaml="anthropic_base_url",
        json_path="ai.bridge.anthropic.base_url",
        default="https://api.anthropic.com/",
    ),
    _ai_bridge_option(
        "AI Bridge Anthropic Key",
        "The API key that the gateway uses for Anthropic.",
        Text(),
        env="CODER_AIBRIDGE_ANTHROPIC_KEY",
        json_path="ai.bridge.anthropic.key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Region",
        "The AWS region of the Bedrock service.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_REGION",
        yaml="bedrock_region",
        json_path="ai.bridge.bedrock.region",
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Access Key",
        "The ID of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_ACCESS_KEY",
        json_path="ai.bridge.bedrock.access_key",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Access Key Secret",
        "The secret of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_ACCESS_KEY_SECRET",
        json_path="ai.bridge.bedrock.access_key_secret",
        secret=True,
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Model",
        "The Bedrock model for normal requests.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_MODEL",
        yaml="bedrock_model",
        json_path="ai.bridge.bedrock.model",
        default="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    _ai_bridge_option(
        "AI Bridge Bedrock Small Fast Model",
        "The Bedrock model for small tasks that require a fast response.",
        Text(),
        env="CODER_AIBRIDGE_BEDROCK_SMALL_FAST_MODEL",
        flag="aibridge-bedrock-small-fastmodel",
        yaml="bedrock_small_fast_model",
        json_path="ai.bridge.bedrock.small_fast_model",
        default="global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    _ai_bridge_option(
        "AI Bridge Inject Coder MCP tools",
        "Add Coder's own MCP tools to the tools of each AI request. The experiments oauth2 and "
        "mcp-server-http must be enabled.",
        Bool(),
        env="CODER_AIBRIDGE_INJECT_CODER_MCP_TOOLS",
        yaml="inject_coder_mcp_tools",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Data Retention Duration",
        "How long records of AI requests are kept. Choose a short time, because records may "
        "contain users' prompts.",
        Duration(),
        env="CODER_AIBRIDGE_RETENTION",
        default="60d",
    ),
    _ai_bridge_option(
        "AI Bridge Max Concurrency",
        "The maximum number of concurrent AI requests on each server. 0 means no limit.",
        Integer(),
        env="CODER_AIBRIDGE_MAX_CONCURRENCY",
        default="0",
    ),
    _ai_bridge_option(
        "AI Bridge Rate Limit",
        "The maximum number of AI requests per second on each server. 0 means no limit.",
        Integer(),
        env="CODER_AIBRIDGE_RATE_LIMIT",
        default="0",
    ),
    _ai_bridge_option(
        "AI Bridge Structured Logging",
        "Write a structured log line for each AI request, so that other systems can audit the "
        "requests.",
        Bool(),
        env="CODER_AIBRIDGE_STRUCTURED_LOGGING",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Enabled",
        "After repeated failures, send no requests to the AI provider for some time.",
        Bool(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_ENABLED",
        default="false",
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Failure Threshold",
        "The number of consecutive failures, from 1 to 100, after which no requests are sent to "
        "the AI provider.",
        Integer(minimum=1, maximum=100),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        default="5",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Interval",
        "The interval at which the number of failures is reset to 0.",
        Duration(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_INTERVAL",
        default="10s",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Timeout",
        "How long no requests are sent to the AI provider before the gateway tests the provider "
        "again.",
        Duration(),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_TIMEOUT",
        default="30s",
        hidden=True,
    ),
    _ai_bridge_option(
        "AI Bridge Circuit Breaker Max Requests",
        "The maximum number of requests, from 1 to 100, that test an AI provider after the "
        "timeout.",
        Integer(minimum=1, maximum=100),
        env="CODER_AIBRIDGE_CIRCUIT_BREAKER_MAX_REQUESTS",
        default="3",
        hidden=True,
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Enabled",
        "Run an HTTP proxy that sends requests for known AI providers through the gateway. Use it "
        "for tools in which you cannot configure the URL of the provider.",
        Bool(),
        env="CODER_AIBRIDGE_PROXY_ENABLED",
        default="false",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Listen Address",
        "The address and port of the proxy.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_LISTEN_ADDR",
        yaml="listen_addr",
        default=":8888",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Certificate File",
        "A file with the CA certificate that the proxy uses to intercept TLS connections, in PEM "
        "format. Workspaces must trust this certificate.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_CERT_FILE",
        yaml="cert_file",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Key File",
        "A file with the private key of the proxy's CA certificate, in PEM format.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_KEY_FILE",
        yaml="key_file",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Domain Allowlist",
        "The host names for which the proxy intercepts requests. The proxy forwards requests for "
        "other hosts unchanged.",
        TextList(),
        env="CODER_AIBRIDGE_PROXY_DOMAIN_ALLOWLIST",
        yaml="domain_allowlist",
        default="api.anthropic.com,api.openai.com,api.individual.githubcopilot.com",
        hidden=True,
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Upstream Proxy",
        "The URL of another proxy, for requests that are not intercepted.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_UPSTREAM",
        yaml="upstream_proxy",
    ),
    _ai_bridge_proxy_option(
        "AI Bridge Proxy Upstream Proxy CA",
        "A file with the CA certificate of the upstream proxy, in PEM format.",
        Text(),
        env="CODER_AIBRIDGE_PROXY_UPSTREAM_CA",
        yaml="upstream_proxy_ca",
    ),
)
