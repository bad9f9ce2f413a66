"""The headings of the options, and the levels of the YAML file."""

from __future__ import annotations

from options.option import Group

NETWORKING = Group(
    "Networking", "networking", "How the server is reached, and what may stand in front of it."
)
NETWORKING_TLS = Group("TLS", "tls", "Certificates, keys and the rules for HTTPS.", NETWORKING)
NETWORKING_HTTP = Group(
    "HTTP", "http", "The plain listener, sessions, and what goes with the pages.", NETWORKING
)
NETWORKING_DERP = Group(
    "DERP", "derp", "Relays for workspace traffic that finds no direct way.", NETWORKING
)
INTROSPECTION = Group("Introspection", "introspection", "What the server tells about itself.")
INTROSPECTION_PPROF = Group(
    "pprof", "pprof", "Profiles of Coder's server while it runs.", INTROSPECTION
)
INTROSPECTION_STATS_COLLECTION = Group(
    "Stats Collection", "statsCollection", "Which figures about use are collected.", INTROSPECTION
)
INTROSPECTION_STATS_COLLECTION_USAGE_STATS = Group(
    "Usage Stats",
    "usageStats",
    "Figures on sessions, traffic and latency of workspaces.",
    INTROSPECTION_STATS_COLLECTION,
)
INTROSPECTION_PROMETHEUS = Group(
    "Prometheus", "prometheus", "Metrics for a monitoring system.", INTROSPECTION
)
INTROSPECTION_TRACING = Group(
    "Tracing", "tracing", "Where the time of a request goes.", INTROSPECTION
)
INTROSPECTION_LOGGING = Group(
    "Logging", "logging", "Where log lines go, and which are written.", INTROSPECTION
)
INTROSPECTION_HEALTH_CHECK = Group(
    "Health Check", "healthcheck", "When the server counts as healthy.", INTROSPECTION
)
OAUTH2 = Group("OAuth2", "oauth2", "Sign-in through services that speak OAuth2.")
OAUTH2_GITHUB = Group(
    "GitHub",
    "github",
    "Sign-in with an account of GitHub or of a GitHub Enterprise server.",
    OAUTH2,
)
OIDC = Group(
    "OIDC",
    "oidc",
    "Sign-in through an identity provider with OpenID Connect, and what is taken over from it.",
)
TELEMETRY = Group("Telemetry", "telemetry", "Usage figures for the makers of Coder.")
PROVISIONING = Group(
    "Provisioning", "provisioning", "Who builds workspaces, and within which bounds."
)
USER_QUIET_HOURS_SCHEDULE = Group(
    "User Quiet Hours Schedule",
    "userQuietHoursSchedule",
    "When workspaces may be stopped without disturbing anybody.",
)
DANGEROUS = Group(
    "⚠️ Dangerous", "dangerous", "Switches that give up protection. Know why before you touch one."
)
CLIENT = Group(
    "Client", "client", "What command lines, editors and the dashboard do on people's machines."
)
CONFIG = Group("Config", "", "Where the configuration itself is read from and written to.")
EMAIL = Group("Email", "email", "The mail server, and how e-mails are sent.")
EMAIL_EMAIL_AUTHENTICATION = Group(
    "Email Authentication", "emailAuth", "How to sign in to the mail server.", EMAIL
)
EMAIL_EMAIL_TLS = Group(
    "Email TLS", "emailTLS", "Encryption between this server and the mail server.", EMAIL
)
NOTIFICATIONS = Group(
    "Notifications",
    "notifications",
    "How people are told about events, and how the queue behind it works.",
)
NOTIFICATIONS_EMAIL = Group("Email", "email", "Old names of the e-mail options.", NOTIFICATIONS)
NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION = Group(
    "Email Authentication",
    "emailAuth",
    "Old names of the options for signing in to the mail server.",
    NOTIFICATIONS_EMAIL,
)
NOTIFICATIONS_EMAIL_EMAIL_TLS = Group(
    "Email TLS",
    "emailTLS",
    "Old names of the options for encryption to the mail server.",
    NOTIFICATIONS_EMAIL,
)
NOTIFICATIONS_WEBHOOK = Group(
    "Webhook", "webhook", "Notifications for other systems, over HTTP.", NOTIFICATIONS
)
NOTIFICATIONS_INBOX = Group("Inbox", "inbox", "Notifications inside the dashboard.", NOTIFICATIONS)
WORKSPACE_PREBUILDS = Group(
    "Workspace Prebuilds",
    "workspace_prebuilds",
    "Workspaces that are made before somebody asks for them.",
)
AI_BRIDGE = Group("AI Bridge", "aibridge", "The gateway between workspaces and AI providers.")
AI_BRIDGE_PROXY = Group(
    "AI Bridge Proxy", "aibridgeproxy", "The HTTP proxy in front of the AI gateway."
)
RETENTION = Group("Retention", "retention", "How long records are kept.")

GROUPS = (
    NETWORKING,
    NETWORKING_TLS,
    NETWORKING_HTTP,
    NETWORKING_DERP,
    INTROSPECTION,
    INTROSPECTION_PPROF,
    INTROSPECTION_STATS_COLLECTION,
    INTROSPECTION_STATS_COLLECTION_USAGE_STATS,
    INTROSPECTION_PROMETHEUS,
    INTROSPECTION_TRACING,
    INTROSPECTION_LOGGING,
    INTROSPECTION_HEALTH_CHECK,
    OAUTH2,
    OAUTH2_GITHUB,
    OIDC,
    TELEMETRY,
    PROVISIONING,
    USER_QUIET_HOURS_SCHEDULE,
    DANGEROUS,
    CLIENT,
    CONFIG,
    EMAIL,
    EMAIL_EMAIL_AUTHENTICATION,
    EMAIL_EMAIL_TLS,
    NOTIFICATIONS,
    NOTIFICATIONS_EMAIL,
    NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
    NOTIFICATIONS_EMAIL_EMAIL_TLS,
    NOTIFICATIONS_WEBHOOK,
    NOTIFICATIONS_INBOX,
    WORKSPACE_PREBUILDS,
    AI_BRIDGE,
    AI_BRIDGE_PROXY,
    RETENTION,
)
