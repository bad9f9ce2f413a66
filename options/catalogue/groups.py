"""The headings of the options, and the levels of the YAML file."""

from __future__ import annotations

from options.option import Group

NETWORKING = Group(
    "Networking", "networking", "How the server is reached, and what may stand in front of it."
)
TLS = Group(
    "TLS", "tls", "Certificates, keys and the rules for HTTPS.", NETWORKING, json_path="tls"
)
HTTP = Group(
    "HTTP", "http", "The plain listener, sessions, and what goes with the pages.", NETWORKING
)
DERP = Group(
    "DERP",
    "derp",
    "Relays for workspace traffic that finds no direct way.",
    NETWORKING,
    json_path="derp.server",
)
INTROSPECTION = Group("Introspection", "introspection", "What the server tells about itself.")
PPROF = Group(
    "pprof",
    "pprof",
    "Profiles of Coder's server while it runs.",
    INTROSPECTION,
    json_path="pprof",
    remark="This service is not written in Go and has no such profiles.",
)
STATS_COLLECTION = Group(
    "Stats Collection", "statsCollection", "Which figures about use are collected.", INTROSPECTION
)
USAGE_STATS = Group(
    "Usage Stats",
    "usageStats",
    "Figures on sessions, traffic and latency of workspaces.",
    STATS_COLLECTION,
    json_path="stats_collection.usage_stats",
)
PROMETHEUS = Group(
    "Prometheus",
    "prometheus",
    "Metrics for a monitoring system.",
    INTROSPECTION,
    json_path="prometheus",
)
TRACING = Group(
    "Tracing",
    "tracing",
    "Where the time of a request goes.",
    INTROSPECTION,
    json_path="trace",
    remark="This service records no traces.",
)
LOGGING = Group(
    "Logging",
    "logging",
    "Where log lines go, and which are written.",
    INTROSPECTION,
    json_path="logging",
    flags="log-",
)
HEALTH_CHECK = Group(
    "Health Check",
    "healthcheck",
    "When the server counts as healthy.",
    INTROSPECTION,
    json_path="healthcheck",
    flags="health-check-",
)
OAUTH2 = Group("OAuth2", "oauth2", "Sign-in through services that speak OAuth2.")
GITHUB = Group(
    "GitHub",
    "github",
    "Sign-in with an account of GitHub or of a GitHub Enterprise server.",
    OAUTH2,
    json_path="oauth2.github",
    remark="Sign-in with GitHub is not offered here; clients are told that it is off.",
)
OIDC = Group(
    "OIDC",
    "oidc",
    "Sign-in through an identity provider with OpenID Connect, and the claims that are used.",
    json_path="oidc",
    remark="Sign-in with OpenID Connect is not offered here; clients are told that it is off.",
)
TELEMETRY = Group(
    "Telemetry",
    "telemetry",
    "Usage figures for the makers of Coder.",
    json_path="telemetry",
    remark="This service sends nothing to anybody; it tells clients the values of these options.",
)
PROVISIONING = Group(
    "Provisioning",
    "provisioning",
    "Who builds workspaces, and within which bounds.",
    json_path="provisioner",
)
QUIET_HOURS = Group(
    "User Quiet Hours Schedule",
    "userQuietHoursSchedule",
    "When workspaces may be stopped without disturbing anybody.",
    json_path="user_quiet_hours_schedule",
    flags="",
)
DANGEROUS = Group(
    "⚠️ Dangerous",
    "dangerous",
    "Switches that give up protection. Know why before you touch one.",
    json_path="dangerous",
)
CLIENT = Group(
    "Client", "client", "What command lines, editors and the dashboard do on people's machines."
)
CONFIG = Group("Config", "", "Where the configuration itself is read from and written to.")
EMAIL = Group(
    "Email",
    "email",
    "The mail server, and how e-mails are sent.",
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
    "Encryption between this server and the mail server.",
    EMAIL,
    json_path="notifications.email.tls",
    flags="email-tls-",
)
NOTIFICATIONS = Group(
    "Notifications",
    "notifications",
    "How people are told about events, and how the queue behind it works.",
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
    "Notifications inside the dashboard.",
    NOTIFICATIONS,
    json_path="notifications.inbox",
)
PREBUILDS = Group(
    "Workspace Prebuilds",
    "workspace_prebuilds",
    "Workspaces that are made before somebody asks for them.",
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
    "The HTTP proxy in front of the AI gateway.",
    json_path="ai.aibridge_proxy",
    flags="aibridge-proxy-",
)
RETENTION = Group(
    "Retention", "retention", "How long records are kept.", json_path="retention", flags=""
)

# All of them, in the order in which they stand here.
GROUPS = tuple(group for group in list(globals().values()) if isinstance(group, Group))
