"""The groups of options, which are headings and levels of the YAML file."""

from __future__ import annotations

from options.option import Group

NETWORKING = Group(
    "Networking", "networking", "The server's addresses, and proxies in front of it."
)
TLS = Group("TLS", "tls", "Certificates, keys and settings for HTTPS.", NETWORKING, json_path="tls")
HTTP = Group("HTTP", "http", "The HTTP listener, sessions and pages.", NETWORKING)
DERP = Group(
    "DERP",
    "derp",
    "Relays for workspace traffic without a direct connection.",
    NETWORKING,
    json_path="derp.server",
)
INTROSPECTION = Group("Introspection", "introspection", "Metrics, logs and health of the server.")
PPROF = Group(
    "pprof",
    "pprof",
    "Profiling of Coder's server.",
    INTROSPECTION,
    json_path="pprof",
    remark="coderapi is not written in Go and has no such profiles.",
)
STATS_COLLECTION = Group(
    "Stats Collection", "statsCollection", "The usage data to collect.", INTROSPECTION
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
    "The server's checks of its own health.",
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
    remark="coderapi does not offer sign-in with GitHub, and reports it as disabled.",
)
OIDC = Group(
    "OIDC",
    "oidc",
    "Sign-in through an identity provider with OpenID Connect, and its claims.",
    json_path="oidc",
    remark="coderapi does not offer sign-in with OpenID Connect, and reports it as disabled.",
)
TELEMETRY = Group(
    "Telemetry",
    "telemetry",
    "Usage data for the Coder company.",
    json_path="telemetry",
    remark="coderapi sends no usage data. It only reports the values of these options.",
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
    "When workspaces may be stopped without disturbing their users.",
    json_path="user_quiet_hours_schedule",
    flags="",
)
DANGEROUS = Group(
    "⚠️ Dangerous",
    "dangerous",
    "Options that remove protection. Do not set one without need.",
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
    "How to sign in to the mail server.",
    EMAIL,
    json_path="notifications.email.auth",
    flags="email-auth-",
)
EMAIL_TLS = Group(
    "Email TLS",
    "emailTLS",
    "Encryption of connections to the mail server.",
    EMAIL,
    json_path="notifications.email.tls",
    flags="email-tls-",
)
NOTIFICATIONS = Group(
    "Notifications",
    "notifications",
    "Notifications about events, and their queue.",
    json_path="notifications",
)
OLD_EMAIL = Group("Email", "email", "Old names of the e-mail options.", NOTIFICATIONS)
OLD_EMAIL_AUTH = Group(
    "Email Authentication",
    "emailAuth",
    "Old names of the options for signing in to the mail server.",
    OLD_EMAIL,
)
OLD_EMAIL_TLS = Group(
    "Email TLS",
    "emailTLS",
    "Old names of the options for encryption to the mail server.",
    OLD_EMAIL,
)
WEBHOOK = Group(
    "Webhook",
    "webhook",
    "Notifications for other systems, over HTTP.",
    NOTIFICATIONS,
    json_path="notifications.webhook",
)
INBOX = Group(
    "Inbox",
    "inbox",
    "Notifications in the dashboard.",
    NOTIFICATIONS,
    json_path="notifications.inbox",
)
PREBUILDS = Group(
    "Workspace Prebuilds",
    "workspace_prebuilds",
    "Workspaces that are created in advance.",
    json_path="workspace_prebuilds",
)
AI_BRIDGE = Group(
    "AI Bridge",
    "aibridge",
    "The gateway between workspaces and AI providers.",
    json_path="ai.bridge",
    flags="aibridge-",
)
AI_BRIDGE_PROXY = Group(
    "AI Bridge Proxy",
    "aibridgeproxy",
    "The HTTP proxy of the AI gateway.",
    json_path="ai.aibridge_proxy",
    flags="aibridge-proxy-",
)
RETENTION = Group(
    "Retention", "retention", "How long records are kept.", json_path="retention", flags=""
)

# All groups, in the order of their definitions.
GROUPS = tuple(group for group in list(globals().values()) if isinstance(group, Group))
