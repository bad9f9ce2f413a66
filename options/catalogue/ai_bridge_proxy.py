"""The HTTP proxy in front of the AI gateway."""

from __future__ import annotations

from options.catalogue.groups import AI_BRIDGE_PROXY
from options.option import Option
from options.values import Bool, Text, TextList

AI_BRIDGE_PROXY_OPTIONS = (
    Option(
        name="AI Bridge Proxy Enabled",
        description=(
            "Run an HTTP proxy that leads known AI providers' traffic through the gateway. For "
            "tools whose provider address cannot be changed."
        ),
        type=Bool(),
        json_path="ai.aibridge_proxy.enabled",
        env="CODER_AIBRIDGE_PROXY_ENABLED",
        flag="aibridge-proxy-enabled",
        yaml="enabled",
        default="false",
        group=AI_BRIDGE_PROXY,
    ),
    Option(
        name="AI Bridge Proxy Listen Address",
        description="The address and port on which that proxy listens.",
        type=Text(),
        json_path="ai.aibridge_proxy.listen_addr",
        env="CODER_AIBRIDGE_PROXY_LISTEN_ADDR",
        flag="aibridge-proxy-listen-addr",
        yaml="listen_addr",
        default=":8888",
        group=AI_BRIDGE_PROXY,
    ),
    Option(
        name="AI Bridge Proxy Certificate File",
        description=(
            "The certificate of the authority with which the proxy opens TLS connections, in PEM "
            "format. Workspaces must trust it."
        ),
        type=Text(),
        json_path="ai.aibridge_proxy.cert_file",
        env="CODER_AIBRIDGE_PROXY_CERT_FILE",
        flag="aibridge-proxy-cert-file",
        yaml="cert_file",
        group=AI_BRIDGE_PROXY,
    ),
    Option(
        name="AI Bridge Proxy Key File",
        description="The private key of the proxy's certificate authority, in PEM format.",
        type=Text(),
        json_path="ai.aibridge_proxy.key_file",
        env="CODER_AIBRIDGE_PROXY_KEY_FILE",
        flag="aibridge-proxy-key-file",
        yaml="key_file",
        group=AI_BRIDGE_PROXY,
    ),
    Option(
        name="AI Bridge Proxy Domain Allowlist",
        description=(
            "The host names whose traffic the proxy opens; all others pass through unread."
        ),
        type=TextList(),
        json_path="ai.aibridge_proxy.domain_allowlist",
        env="CODER_AIBRIDGE_PROXY_DOMAIN_ALLOWLIST",
        flag="aibridge-proxy-domain-allowlist",
        yaml="domain_allowlist",
        default="api.anthropic.com,api.openai.com,api.individual.githubcopilot.com",
        group=AI_BRIDGE_PROXY,
        hidden=True,
    ),
    Option(
        name="AI Bridge Proxy Upstream Proxy",
        description="A further proxy through which other traffic is passed on.",
        type=Text(),
        json_path="ai.aibridge_proxy.upstream_proxy",
        env="CODER_AIBRIDGE_PROXY_UPSTREAM",
        flag="aibridge-proxy-upstream",
        yaml="upstream_proxy",
        group=AI_BRIDGE_PROXY,
    ),
    Option(
        name="AI Bridge Proxy Upstream Proxy CA",
        description="A file with the certificate authority of the further proxy, in PEM format.",
        type=Text(),
        json_path="ai.aibridge_proxy.upstream_proxy_ca",
        env="CODER_AIBRIDGE_PROXY_UPSTREAM_CA",
        flag="aibridge-proxy-upstream-ca",
        yaml="upstream_proxy_ca",
        group=AI_BRIDGE_PROXY,
    ),
)
