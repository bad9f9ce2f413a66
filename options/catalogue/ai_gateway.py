"""Options for the gateway to AI providers, with their current and their old names.

Until release 2.33 of Coder, the gateway was called AI Bridge. Each old option is listed before the
option that replaces it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial

from options.catalogue.groups import (
    AI_BRIDGE,
    AI_BRIDGE_PROXY,
    AI_GATEWAY,
    AI_GATEWAY_PROXY,
)
from options.option import Option
from options.values.lists import TextList
from options.values.rules import NETWORK
from options.values.scalars import Bool, Choice, Duration, Integer, Text
from options.values.structs import AIProviders

_gateway_option = partial(Option, group=AI_GATEWAY)
_proxy_option = partial(Option, group=AI_GATEWAY_PROXY)

# Numbered variables, such as CODER_AI_GATEWAY_PROVIDER_0_TYPE, set this value. It is not an option,
# so the list of options does not contain it.
AI_PROVIDERS = _gateway_option(
    "AI Gateway Providers",
    "The AI providers of the gateway, without their keys.",
    AIProviders(),
    flag="",
    yaml="",
    json_path="ai.bridge.providers",
    documented=False,
)

_OPTIONS = (
    _gateway_option(
        "AI Gateway Enabled",
        "Run a gateway between tools in workspaces and AI providers. The gateway can log and limit "
        "the use of AI.",
        Bool(),
        env="CODER_AI_GATEWAY_ENABLED",
        default="true",
    ),
    _gateway_option(
        "AI Gateway OpenAI Base URL",
        "The URL of OpenAI's API, or of a compatible service.",
        Text(),
        env="CODER_AI_GATEWAY_OPENAI_BASE_URL",
        json_path="ai.bridge.openai.base_url",
        default="https://api.openai.com/v1/",
    ),
    _gateway_option(
        "AI Gateway OpenAI Key",
        "The API key that the gateway uses for OpenAI.",
        Text(),
        env="CODER_AI_GATEWAY_OPENAI_KEY",
        json_path="ai.bridge.openai.key",
        secret=True,
    ),
    _gateway_option(
        "AI Gateway Anthropic Base URL",
        "The URL of Anthropic's API, or of a compatible service.",
        Text(),
        env="CODER_AI_GATEWAY_ANTHROPIC_BASE_URL",
        json_path="ai.bridge.anthropic.base_url",
        default="https://api.anthropic.com/",
    ),
    _gateway_option(
        "AI Gateway Anthropic Key",
        "The API key that the gateway uses for Anthropic.",
        Text(),
        env="CODER_AI_GATEWAY_ANTHROPIC_KEY",
        json_path="ai.bridge.anthropic.key",
        secret=True,
    ),
    _gateway_option(
        "AI Gateway Bedrock Base URL",
        "The URL of the Bedrock service. Set it if requests must use another endpoint than the "
        "public one of the region.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_BASE_URL",
        json_path="ai.bridge.bedrock.base_url",
        documented=False,
    ),
    _gateway_option(
        "AI Gateway Bedrock Region",
        "The AWS region of the Bedrock service.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_REGION",
        json_path="ai.bridge.bedrock.region",
    ),
    _gateway_option(
        "AI Gateway Bedrock Access Key",
        "The ID of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_ACCESS_KEY",
        json_path="ai.bridge.bedrock.access_key",
        secret=True,
    ),
    _gateway_option(
        "AI Gateway Bedrock Access Key Secret",
        "The secret of the AWS access key for Bedrock.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_ACCESS_KEY_SECRET",
        json_path="ai.bridge.bedrock.access_key_secret",
        secret=True,
    ),
    _gateway_option(
        "AI Gateway Bedrock Model",
        "The Bedrock model for normal requests.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_MODEL",
        json_path="ai.bridge.bedrock.model",
        default="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    _gateway_option(
        "AI Gateway Bedrock Small Fast Model",
        "The Bedrock model for small tasks that require a fast response.",
        Text(),
        env="CODER_AI_GATEWAY_BEDROCK_SMALL_FAST_MODEL",
        flag="ai-gateway-bedrock-small-fastmodel",
        yaml="bedrock_small_fast_model",
        json_path="ai.bridge.bedrock.small_fast_model",
        default="global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    _gateway_option(
        "AI Gateway Inject Coder MCP tools",
        "Add Coder's own MCP tools to the tools of each AI request. The experiments oauth2 and "
        "mcp-server-http must be enabled.",
        Bool(),
        env="CODER_AI_GATEWAY_INJECT_CODER_MCP_TOOLS",
        default="false",
        hidden=True,
    ),
    _gateway_option(
        "AI Gateway Data Retention Duration",
        "How long records of AI requests are kept. Choose a short time, because records may "
        "contain users' prompts.",
        Duration(),
        env="CODER_AI_GATEWAY_RETENTION",
        default="60d",
    ),
    _gateway_option(
        "AI Gateway Max Concurrency",
        "The maximum number of concurrent AI requests on each server. 0 means no limit.",
        Integer(),
        env="CODER_AI_GATEWAY_MAX_CONCURRENCY",
        default="0",
    ),
    _gateway_option(
        "AI Gateway Rate Limit",
        "The maximum number of AI requests per second on each server. 0 means no limit.",
        Integer(),
        env="CODER_AI_GATEWAY_RATE_LIMIT",
        default="0",
    ),
    _gateway_option(
        "AI Gateway Structured Logging",
        "Write a structured log line for each AI request, so that other systems can audit the "
        "requests.",
        Bool(),
        env="CODER_AI_GATEWAY_STRUCTURED_LOGGING",
        default="false",
    ),
    _gateway_option(
        "AI Gateway Send Actor Headers",
        "Add headers with the ID and the username of the user to each request to an AI provider. "
        "The provider then learns which user sent the request.",
        Bool(),
        env="CODER_AI_GATEWAY_SEND_ACTOR_HEADERS",
        default="false",
        documented=False,
    ),
    _gateway_option(
        "AI Gateway API Dump Directory",
        "The directory in which each AI request and its response are stored for debugging. The "
        "files contain users' prompts. If it is empty, nothing is stored.",
        Text(),
        env="CODER_AI_GATEWAY_DUMP_DIR",
        yaml="api_dump_dir",
        documented=False,
    ),
    _gateway_option(
        "AI Gateway Allow BYOK",
        "Let users send their own key for the AI provider with a request. If it is disabled, the "
        "gateway always uses the keys of the deployment.",
        Bool(),
        env="CODER_AI_GATEWAY_ALLOW_BYOK",
        default="true",
        documented=False,
    ),
    _gateway_option(
        "AI Gateway Circuit Breaker Enabled",
        "After repeated failures, send no requests to the AI provider for some time.",
        Bool(),
        env="CODER_AI_GATEWAY_CIRCUIT_BREAKER_ENABLED",
        default="false",
    ),
    _gateway_option(
        "AI Gateway Circuit Breaker Failure Threshold",
        "The number of consecutive failures, from 1 to 100, after which no requests are sent to "
        "the AI provider.",
        Integer(minimum=1, maximum=100),
        env="CODER_AI_GATEWAY_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
        default="5",
        hidden=True,
    ),
    _gateway_option(
        "AI Gateway Circuit Breaker Interval",
        "The interval at which the number of failures is reset to 0.",
        Duration(),
        env="CODER_AI_GATEWAY_CIRCUIT_BREAKER_INTERVAL",
        default="10s",
        hidden=True,
    ),
    _gateway_option(
        "AI Gateway Circuit Breaker Timeout",
        "How long no requests are sent to the AI provider before the gateway tests the provider "
        "again.",
        Duration(),
        env="CODER_AI_GATEWAY_CIRCUIT_BREAKER_TIMEOUT",
        default="30s",
        hidden=True,
    ),
    _gateway_option(
        "AI Gateway Circuit Breaker Max Requests",
        "The maximum number of requests, from 1 to 100, that test an AI provider after the "
        "timeout.",
        Integer(minimum=1, maximum=100),
        env="CODER_AI_GATEWAY_CIRCUIT_BREAKER_MAX_REQUESTS",
        default="3",
        hidden=True,
    ),
    _gateway_option(
        "AI Budget Policy",
        "The budget that applies to a user with several budgets, for example from several groups. "
        "The only choice is the highest one.",
        Choice(("highest",)),
        env="CODER_AI_BUDGET_POLICY",
        yaml="budget_policy",
        default="highest",
        documented=False,
    ),
    _gateway_option(
        "AI Budget Period",
        "The period for which budgets for AI are set. At its end, the used amount is reset to 0.",
        Choice(("month",)),
        env="CODER_AI_BUDGET_PERIOD",
        yaml="budget_period",
        default="month",
        documented=False,
    ),
    _proxy_option(
        "AI Gateway Proxy Enabled",
        "Run an HTTP proxy that sends requests for known AI providers through the gateway. Use it "
        "for tools in which you cannot configure the URL of the provider.",
        Bool(),
        env="CODER_AI_GATEWAY_PROXY_ENABLED",
        default="false",
    ),
    _proxy_option(
        "AI Gateway Proxy Listen Address",
        "The address and port of the proxy.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_LISTEN_ADDR",
        default=":8888",
    ),
    _proxy_option(
        "AI Gateway Proxy TLS Certificate File",
        "A file with the certificate of the proxy's own listener, in PEM format. Without it, "
        "clients connect to the proxy without TLS.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_TLS_CERT_FILE",
        documented=False,
    ),
    _proxy_option(
        "AI Gateway Proxy TLS Key File",
        "A file with the private key of the certificate of the proxy's own listener, in PEM "
        "format.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_TLS_KEY_FILE",
        documented=False,
    ),
    _proxy_option(
        "AI Gateway Proxy MITM CA Certificate File",
        "A file with the CA certificate that the proxy uses to intercept TLS connections, in PEM "
        "format. Workspaces must trust this certificate.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_CERT_FILE",
    ),
    _proxy_option(
        "AI Gateway Proxy MITM CA Key File",
        "A file with the private key of the proxy's CA certificate, in PEM format.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_KEY_FILE",
    ),
    _proxy_option(
        "AI Gateway Proxy Domain Allowlist",
        "The host names for which the proxy intercepts requests. The proxy forwards requests for "
        "other hosts unchanged.",
        TextList(),
        env="CODER_AI_GATEWAY_PROXY_DOMAIN_ALLOWLIST",
        hidden=True,
    ),
    _proxy_option(
        "AI Gateway Proxy Upstream Proxy",
        "The URL of another proxy, for requests that are not intercepted.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_UPSTREAM",
        yaml="upstream_proxy",
    ),
    _proxy_option(
        "AI Gateway Proxy Upstream Proxy CA",
        "A file with the CA certificate of the upstream proxy, in PEM format.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_UPSTREAM_CA",
        yaml="upstream_proxy_ca",
    ),
    _proxy_option(
        "AI Gateway Proxy Allowed Private CIDRs",
        "The private networks that the proxy may connect to. Connections to other private or "
        "reserved addresses are rejected.",
        TextList(NETWORK),
        env="CODER_AI_GATEWAY_PROXY_ALLOWED_PRIVATE_CIDRS",
        documented=False,
    ),
    _proxy_option(
        "AI Gateway Proxy API Dump Directory",
        "The directory in which the requests that the proxy intercepts, and their responses, are "
        "stored for debugging. The files contain users' prompts.",
        Text(),
        env="CODER_AI_GATEWAY_PROXY_DUMP_DIR",
        yaml="api_dump_dir",
        documented=False,
    ),
)

_OLD_GROUPS = {AI_GATEWAY: AI_BRIDGE, AI_GATEWAY_PROXY: AI_BRIDGE_PROXY}
# Options that were added after the new name.
_WITHOUT_OLD_NAME = frozenset(
    {"AI Gateway API Dump Directory", "AI Budget Policy", "AI Budget Period"}
)


def _with_old_names(options: tuple[Option, ...]) -> Iterator[Option]:
    for option in options:
        if option.name not in _WITHOUT_OLD_NAME:
            yield _old_name(option)
        yield option


def _old_name(option: Option) -> Option:
    """Returns the old form of an option of the gateway."""
    assert option.group is not None  # noqa: S101  # All options of the gateway have groups.
    return dataclasses.replace(
        option,
        name=option.name.replace("AI Gateway", "AI Bridge"),
        description=f"The old name of {option.name}.",
        env=option.env.replace("AI_GATEWAY", "AIBRIDGE"),
        flag=option.flag.replace("ai-gateway", "aibridge"),
        group=_OLD_GROUPS[option.group],
        hidden=True,
        use_instead=(option.name,),
    )


# Maps keys of YAML files for older releases to the current keys.
OLD_YAML_KEYS = {
    "aibridge.maxConcurrency": "aibridge.max_concurrency",
    "aibridge.rateLimit": "aibridge.rate_limit",
    "aibridge.structuredLogging": "aibridge.structured_logging",
    "aibridge.circuitBreakerEnabled": "aibridge.circuit_breaker_enabled",
    "aibridge.circuitBreakerFailureThreshold": "aibridge.circuit_breaker_failure_threshold",
    "aibridge.circuitBreakerInterval": "aibridge.circuit_breaker_interval",
    "aibridge.circuitBreakerTimeout": "aibridge.circuit_breaker_timeout",
    "aibridge.circuitBreakerMaxRequests": "aibridge.circuit_breaker_max_requests",
}

AI_GATEWAY_OPTIONS = tuple(_with_old_names(_OPTIONS))
