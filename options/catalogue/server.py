"""Sessions, cookies, the database, and other options of one server."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import HTTP, NETWORKING, TLS
from options.option import Option
from options.values import URL, Bool, Choice, Duration, Integer, Text, TextList
from options.values.rules import IDLE_CONNECTIONS, NETWORK, one_of

_http_option = partial(Option, group=HTTP)
_networking_option = partial(Option, group=NETWORKING)

SERVER_OPTIONS = (
    _http_option(
        "Max Token Lifetime",
        "The maximum lifetime of a user's API token.",
        Duration(),
        env="CODER_MAX_TOKEN_LIFETIME",
        json_path="session_lifetime.max_token_lifetime",
        default="876600h0m0s",
        obeyed=True,
    ),
    _http_option(
        "Maximum Admin Token Lifetime",
        "The maximum lifetime of an owner's API token. Owners' tokens have more permissions, so "
        "keep it short.",
        Duration(),
        env="CODER_MAX_ADMIN_TOKEN_LIFETIME",
        json_path="session_lifetime.max_admin_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default Token Lifetime",
        "The default lifetime of API tokens, such as those of command lines and editors.",
        Duration(),
        env="CODER_DEFAULT_TOKEN_LIFETIME",
        json_path="session_lifetime.default_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default OAuth Refresh Lifetime",
        "The lifetime of refresh tokens of OAuth2 applications. Make it longer than the session "
        "duration.",
        Duration(),
        env="CODER_DEFAULT_OAUTH_REFRESH_LIFETIME",
        yaml="defaultOAuthRefreshLifetime",
        json_path="session_lifetime.refresh_default_duration",
        default="720h0m0s",
    ),
    Option(
        "Enable swagger endpoint",
        "Serve a page with the API's documentation, on which users can send requests.",
        Bool(),
        env="CODER_SWAGGER_ENABLE",
        yaml="enableSwagger",
        json_path="swagger.enable",
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Headers",
        "The headers in which trusted proxies send the client's address, such as X-Forwarded-For. "
        "Set it together with the trusted origins.",
        TextList(),
        env="CODER_PROXY_TRUSTED_HEADERS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Origins",
        "The addresses or networks of trusted proxies, such as 10.0.0.0/8. Do not include a "
        "network from which clients connect directly.",
        TextList(NETWORK),
        env="CODER_PROXY_TRUSTED_ORIGINS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Cache Directory",
        "The directory for files that Coder's server can create again, such as Terraform "
        "providers. Use a disk with free space.",
        Text(),
        env="CODER_CACHE_DIRECTORY",
        flag="cache-dir",
        json_path="cache_directory",
        default="~/.cache/coder",
    ),
    Option(
        "Ephemeral Deployment",
        "Run a temporary deployment, whose database and files are deleted at the end. Use it for "
        "trying things out.",
        Bool(),
        env="CODER_EPHEMERAL",
        yaml="ephemeralDeployment",
        hidden=True,
    ),
    Option(
        "Postgres Connection URL",
        "The URL of the PostgreSQL database, with user and password. Without it the server starts "
        "a private database.",
        Text(),
        env="CODER_PG_CONNECTION_URL",
        flag="postgres-url",
        json_path="pg_connection_url",
        secret=True,
        obeyed=True,
    ),
    Option(
        "Postgres Auth",
        "The authentication for PostgreSQL: password, or awsiamrds for an AWS identity. coderapi "
        "supports only password.",
        Choice(("password", "awsiamrds")),
        env="CODER_PG_AUTH",
        flag="postgres-auth",
        yaml="pgAuth",
        default="password",
        obeyed=True,
    ),
    Option(
        "Postgres Connection Max Open",
        "The maximum number of open database connections for each server. The database must allow "
        "more than that for all servers together.",
        Integer(minimum=1),
        env="CODER_PG_CONN_MAX_OPEN",
        flag="postgres-conn-max-open",
        yaml="pgConnMaxOpen",
        default="10",
        obeyed=True,
    ),
    Option(
        "Postgres Connection Max Idle",
        "The maximum number of idle database connections: a number, or auto for a third of the "
        "open ones.",
        Text(IDLE_CONNECTIONS),
        env="CODER_PG_CONN_MAX_IDLE",
        flag="postgres-conn-max-idle",
        yaml="pgConnMaxIdle",
        default="auto",
        obeyed=True,
    ),
    _networking_option(
        "Secure Auth Cookie",
        "Mark the session cookie as secure, so that browsers send it over HTTPS only. Enable it if "
        "users use HTTPS.",
        Bool(),
        env="CODER_SECURE_AUTH_COOKIE",
        json_path="http_cookies.secure_auth_cookie",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "SameSite Auth Cookie",
        "Whether browsers send the session cookie with requests from other sites: lax or none. Use "
        "none only if other sites embed the dashboard.",
        Choice(("lax", "none")),
        env="CODER_SAMESITE_AUTH_COOKIE",
        yaml="sameSiteAuthCookie",
        json_path="http_cookies.same_site",
        default="lax",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Terms of Service URL",
        "The page with the terms that users accept by signing in. The sign-in page links to it.",
        Text(),
        env="CODER_TERMS_OF_SERVICE_URL",
        obeyed=True,
    ),
    Option(
        "Strict-Transport-Security",
        "How many seconds browsers use HTTPS only. 0 sends no header. Increase it in steps, "
        "because browsers remember it for the whole time.",
        Integer(),
        env="CODER_STRICT_TRANSPORT_SECURITY",
        json_path="strict_transport_security",
        default="0",
        group=TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Strict-Transport-Security Options",
        "Additions to the Strict-Transport-Security header: includeSubDomains, preload. They need "
        "a time above 0.",
        TextList(one_of("includeSubDomains", "preload")),
        env="CODER_STRICT_TRANSPORT_SECURITY_OPTIONS",
        json_path="strict_transport_security_options",
        group=TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "SSH Keygen Algorithm",
        "The type of new users' SSH keys: ed25519, ecdsa or rsa4096. Change it for Git servers "
        "that do not accept ed25519.",
        Text(one_of("ed25519", "ecdsa", "rsa4096")),
        env="CODER_SSH_KEYGEN_ALGORITHM",
        default="ed25519",
    ),
    Option(
        "Metrics Cache Refresh Interval",
        "How often Coder's server recomputes the stats of template usage.",
        Duration(),
        env="CODER_METRICS_CACHE_REFRESH_INTERVAL",
        yaml="",
        default="4h0m0s",
        hidden=True,
        remark="coderapi has no such cache. Its stats follow the agent stats interval.",
    ),
    Option(
        "Agent Stat Refresh Interval",
        "How often agents report their stats, and how often the deployment's stats are updated.",
        Duration(),
        env="CODER_AGENT_STATS_REFRESH_INTERVAL",
        yaml="",
        json_path="agent_stat_refresh_interval",
        default="30s",
        hidden=True,
        obeyed=True,
    ),
    Option(
        "Agent Fallback Troubleshooting URL",
        "The help page for problems with an agent, if its template has none.",
        URL(),
        env="CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL",
        default="https://coder.com/docs/admin/templates/troubleshooting",
        hidden=True,
    ),
    _networking_option(
        "Browser Only",
        "Allow access to workspaces only through the browser, not with SSH or desktop editors.",
        Bool(),
        env="CODER_BROWSER_ONLY",
        enterprise=True,
    ),
    Option(
        "SCIM API Key",
        "The secret with which an identity provider creates and suspends accounts through SCIM. "
        "Without it, SCIM is disabled.",
        Text(),
        env="CODER_SCIM_AUTH_HEADER",
        json_path="scim_api_key",
        secret=True,
        enterprise=True,
    ),
    Option(
        "External Token Encryption Keys",
        "Keys for encrypting stored tokens of other services, base64-encoded, the newest first. "
        "Keep old keys until all tokens are encrypted with the new one.",
        TextList(),
        env="CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS",
        secret=True,
        enterprise=True,
    ),
    Option(
        "Disable Path Apps",
        "Do not serve workspace applications under a path of the main site. This is safer, but "
        "applications then need a wildcard access URL.",
        Bool(),
        env="CODER_DISABLE_PATH_APPS",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Owner Workspace Access",
        "Do not let owners enter other users' workspaces. They can still see and delete them.",
        Bool(),
        env="CODER_DISABLE_OWNER_WORKSPACE_ACCESS",
        json_path="disable_owner_workspace_exec",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Workspace Sharing",
        "Do not let users share their workspaces.",
        Bool(),
        env="CODER_DISABLE_WORKSPACE_SHARING",
    ),
    _http_option(
        "Session Duration",
        "How long an unused browser session lasts. Activity extends it, unless the refresh is "
        "disabled.",
        Duration(),
        env="CODER_SESSION_DURATION",
        json_path="session_lifetime.default_duration",
        default="24h0m0s",
        obeyed=True,
    ),
    _http_option(
        "Disable Session Expiry Refresh",
        "Let sessions expire even if they are in use. Users then sign in more often.",
        Bool(),
        env="CODER_DISABLE_SESSION_EXPIRY_REFRESH",
        json_path="session_lifetime.disable_expiry_refresh",
        obeyed=True,
    ),
    _http_option(
        "Disable Password Authentication",
        "Disable sign-in with a password. Make sure that another way works first. Owners can still "
        "sign in to the admin.",
        Bool(),
        env="CODER_DISABLE_PASSWORD_AUTH",
        obeyed=True,
    ),
)
