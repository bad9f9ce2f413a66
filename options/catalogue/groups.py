"""The groups of options: headings in help and documents, and levels of the YAML file."""

from __future__ import annotations

from options.option import Group

NETWORKING = Group(
    "Networking", "networking", "The addresses of the server, and proxies in front of the server."
)
TLS = Group("TLS", "tls", "Certificates, keys and settings for HTTPS.", NETWORKING, json_path="tls")
HTTP = Group("HTTP", "http", "The HTTP listener, sessions and pages.", NETWORKING)
DERP = Group(
    "DERP",
    "derp",
    "Relays that forward workspace traffic if a direct connection is not possible.",
    NETWORKING,
    json_path="derp.server",
)
INTROSPECTION = Group("Introspection", "introspection", "Metrics, logs and health of the server.")
PPROF = Group(
    "pprof",
    "pprof",
    "Profiling data of Coder's server.",
    INTROSPECTION,
    json_path="pprof",
    remark="coderapi serves no profiling data, because it is not written in Go.",
)
STATS_COLLECTION = Group(
    "Stats Collection", "statsCollection", "Which usage data the server collects.", INTROSPECTION
)
USAGE_STATS = Group(
    "Usage Stats",
    "usageStats",
    "Sessions, traffic and latency of workspaces.",
    STATS_COLLECTION,
    json_path="stats_collection.usage_stats",
)
PROMETHEUS = Group(
    "Prometheus",
    "prometheus",
    "Metrics for Prometheus.",
    INTROSPECTION,
    json_path="prometheus",
)
TRACING = Group(
    "Tracing",
    "tracing",
    "Traces of requests.",
    INTROSPECTION,
    json_path="trace",
    remark="coderapi records no traces.",
)
LOGGING = Group(
    "Logging",
    "logging",
    "The destinations and levels of logs.",
    INTROSPECTION,
    json_path="logging",
    flags="log-",
)
HEALTH_CHECK = Group(
    "Health Check",
    "healthcheck",
    "Health checks of the server.",
    INTROSPECTION,
    json_path="healthcheck",
    flags="health-check-",
)
OAUTH2 = Group("OAuth2", "oauth2", "Sign-in with OAuth2.")
GITHUB = Group(
    "GitHub",
    "github",
    "Sign-in with GitHub or a GitHub Enterprise server.",
    OAUTH2,
    json_path="oauth2.github",
    remark="coderapi does not support sign-in with GitHub, and reports to clients that it is "
    "disabled.",
)
OIDC = Group(
    "OIDC",
    "oidc",
    "Sign-in with OpenID Connect, and the claims that the identity provider sends.",
    json_path="oidc",
    remark="coderapi does not support sign-in with OpenID Connect, and reports to clients that it "
    "is disabled.",
)
TELEMETRY = Group(
    "Telemetry",
    "telemetry",
    "Usage data for the company Coder.",
    json_path="telemetry",
    remark="coderapi never sends usage data.",
)
PROVISIONING = Group(
    "Provisioning",
    "provisioning",
    "The provisioners that build workspaces.",
    json_path="provisioner",
)
QUIET_HOURS = Group(
    "User Quiet Hours Schedule",
    "userQuietHoursSchedule",
    "Times at which workspaces may be stopped, because their users are not working.",
    json_path="user_quiet_hours_schedule",
    flags="",
)
DANGEROUS = Group(
    "⚠️ Dangerous",
    "dangerous",
    "Options that weaken security. Do not set an option in this group unless it is necessary.",
    json_path="dangerous",
)
CLIENT = Group("Client", "client", "Settings for command lines, editors and the dashboard.")
CONFIG = Group("Config", "", "Reading and writing the configuration.")
EMAIL = Group(
    "Email",
    "email",
    "The mail server.",
    json_path="notifications.email",
    flags="email-",
)
EMAIL_AUTH = Group(
    "Email Authentication",
    "emailAuth",
    "Authentication at the mail server.",
    EMAIL,
    json_path="notifications.email.auth",
    flags="email-auth-",
)
EMAIL_TLS = Group(
    "Email TLS",
    "emailTLS",
    "TLS connections to the mail server.",
    EMAIL,
    json_path="notifications.email.tls",
    flags="email-tls-",
)
NOTIFICATIONS = Group(
    "Notifications",
    "notifications",
    "Notifications about events, and the queue of notifications.",
    json_path="notifications",
)
OLD_EMAIL = Group("Email", "email", "Old names of the e-mail options.", NOTIFICATIONS)
OLD_EMAIL_AUTH = Group(
    "Email Authentication",
    "emailAuth",
    "Old names of the options for authentication at the mail server.",
    OLD_EMAIL,
)
OLD_EMAIL_TLS = Group(
    "Email TLS",
    "emailTLS",
    "Old names of the options for TLS connections to the mail server.",
    OLD_EMAIL,
)
WEBHOOK = Group(
    "Webhook",
    "webhook",
    "Notifications that are sent to other systems over HTTP.",
    NOTIFICATIONS,
    json_path="notifications.webhook",
)
INBOX = Group(
    "Inbox",
    "inbox",
    "Notifications that the dashboard shows.",
    NOTIFICATIONS,
    json_path="notifications.inbox",
)
PREBUILDS = Group(
    "Workspace Prebuilds",
    "workspace_prebuilds",
    "Workspaces that are created in advance.",
    json_path="workspace_prebuilds",
)
CHAT = Group("Chat", "chat", "AI chats in the dashboard.", json_path="ai.chat", flags="chat-")
AI_BRIDGE = Group(
    "AI Bridge (Deprecated)", "aibridge", "Old names of the options for the AI gateway."
)
AI_GATEWAY = Group(
    "AI Gateway",
    "ai_gateway",
    "A gateway between workspaces and AI providers.",
    json_path="ai.bridge",
    flags="ai-gateway-",
    snake_case=True,
)
AI_BRIDGE_PROXY = Group(
    "AI Bridge Proxy (Deprecated)",
    "aibridgeproxy",
    "Old names of the options for the proxy of the AI gateway.",
)
AI_GATEWAY_PROXY = Group(
    "AI Gateway Proxy",
    "ai_gateway_proxy",
    "An HTTP proxy that sends requests to AI providers through the AI gateway.",
    json_path="ai.aibridge_proxy",
    flags="ai-gateway-proxy-",
    snake_case=True,
)
RETENTION = Group(
    "Retention", "retention", "How long records are kept.", json_path="retention", flags=""
)

TEMPLATE_BUILDER = Group(
    "Template Builder",
    "templateBuilder",
    "The part of the dashboard that creates templates from modules.",
    json_path="template_builder",
)

# All groups, in the order of their definitions.
GROUPS = tuple(group for group in list(globals().values()) if isinstance(group, Group))
