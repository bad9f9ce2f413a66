"""Options for tokens, sessions, cookies, proxies, the database and other settings of a server."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import HTTP, NETWORKING, TLS
from options.option import Option
from options.values.lists import TextList
from options.values.rules import IDLE_CONNECTIONS, NETWORK, one_of
from options.values.scalars import Bool, Choice, Duration, Integer, Text
from options.values.urls import URL

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
        "The maximum lifetime of an owner's API token. Choose a short lifetime, because these "
        "tokens have more permissions.",
        Duration(),
        env="CODER_MAX_ADMIN_TOKEN_LIFETIME",
        json_path="session_lifetime.max_admin_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default Token Lifetime",
        "The default lifetime of API tokens, for example for Coder's command line and editor "
        "extensions.",
        Duration(),
        env="CODER_DEFAULT_TOKEN_LIFETIME",
        json_path="session_lifetime.default_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default OAuth Refresh Lifetime",
        "The lifetime of refresh tokens for OAuth2 applications. It should be longer than the "
        "session duration.",
        Duration(),
        env="CODER_DEFAULT_OAUTH_REFRESH_LIFETIME",
        yaml="defaultOAuthRefreshLifetime",
        json_path="session_lifetime.refresh_default_duration",
        default="720h0m0s",
    ),
    Option(
        "Enable swagger endpoint",
        "Serve Swagger UI: a page with the API's documentation, where users can try requests.",
        Bool(),
        env="CODER_SWAGGER_ENABLE",
        yaml="enableSwagger",
        json_path="swagger.enable",
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Headers",
        "The headers in which trusted proxies send the client's IP address, such as "
        "X-Forwarded-For. Also set Proxy Trusted Origins.",
        TextList(),
        env="CODER_PROXY_TRUSTED_HEADERS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Origins",
        "The networks of trusted proxies, such as 10.0.0.0/8 or 10.1.2.3/32. Do not include "
        "networks from which clients connect without a proxy.",
        TextList(NETWORK),
        env="CODER_PROXY_TRUSTED_ORIGINS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Cache Directory",
        "The directory for cached files of Coder's server, such as Terraform providers. Choose a "
        "disk with enough free space.",
        Text(),
        env="CODER_CACHE_DIRECTORY",
        flag="cache-dir",
        json_path="cache_directory",
        default="~/.cache/coder",
    ),
    Option(
        "Ephemeral Deployment",
        "Run a temporary deployment to try Coder out. Its database and files are deleted when the "
        "server stops.",
        Bool(),
        env="CODER_EPHEMERAL",
        yaml="ephemeralDeployment",
        hidden=True,
    ),
    Option(
        "Postgres Connection URL",
        "The URL of the PostgreSQL database, with username and password. If it is not set, the "
        "server starts a private database.",
        Text(),
        env="CODER_PG_CONNECTION_URL",
        flag="postgres-url",
        json_path="pg_connection_url",
        secret=True,
        obeyed=True,
    ),
    Option(
        "Postgres Auth",
        "The authentication method for PostgreSQL: password, or awsiamrds for AWS IAM. coderapi "
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
        "The maximum number of open database connections of each server. The limit of the database "
        "must be higher than the sum for all servers.",
        Integer(minimum=1),
        env="CODER_PG_CONN_MAX_OPEN",
        flag="postgres-conn-max-open",
        yaml="pgConnMaxOpen",
        default="10",
        obeyed=True,
    ),
    Option(
        "Postgres Connection Max Idle",
        "The maximum number of idle database connections: a number, or auto for one third of the "
        "maximum number of open connections.",
        Text(IDLE_CONNECTIONS),
        env="CODER_PG_CONN_MAX_IDLE",
        flag="postgres-conn-max-idle",
        yaml="pgConnMaxIdle",
        default="auto",
        obeyed=True,
    ),
    _networking_option(
        "Secure Auth Cookie",
        "Set the Secure attribute of the session cookie, so that browsers send the cookie over "
        "HTTPS only. By default, the attribute is set if the access URL begins with https.",
        Bool(),
        env="CODER_SECURE_AUTH_COOKIE",
        default="false",
        json_path="http_cookies.secure_auth_cookie",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "SameSite Auth Cookie",
        "The SameSite attribute of the session cookie: lax or none. Use `none` only if other sites "
        "embed the dashboard: with `none`, browsers also send the cookie with requests that come "
        "from other sites.",
        Choice(("lax", "none")),
        env="CODER_SAMESITE_AUTH_COOKIE",
        yaml="sameSiteAuthCookie",
        json_path="http_cookies.same_site",
        default="lax",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "__Host Prefix Cookies",
        "Add the prefix __Host- to the names of cookies, so that only this host can set them. The "
        "prefix requires HTTPS.",
        Bool(),
        env="CODER_HOST_PREFIX_COOKIE",
        json_path="http_cookies.host_prefix",
        default="false",
        external_workspace_proxies=True,
        documented=False,
        remark="The session cookie of coderapi always has the same name.",
    ),
    Option(
        "Terms of Service URL",
        "The URL of the terms of service. The sign-in page links to the terms, and users accept "
        "them by signing in.",
        Text(),
        env="CODER_TERMS_OF_SERVICE_URL",
        obeyed=True,
    ),
    Option(
        "Strict-Transport-Security",
        "The time in seconds for which browsers use only HTTPS for this host (max-age of the "
        "header). With 0, the header is not sent. Start with a short time, because browsers keep "
        "the rule until the time is over.",
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
        "Additional directives for the Strict-Transport-Security header: includeSubDomains or "
        "preload. They require that Strict-Transport-Security is greater than 0.",
        TextList(one_of("includeSubDomains", "preload")),
        env="CODER_STRICT_TRANSPORT_SECURITY_OPTIONS",
        json_path="strict_transport_security_options",
        group=TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "SSH Keygen Algorithm",
        "The type of the SSH keys that are generated for new users: ed25519, ecdsa or rsa4096. "
        "Change it if your Git server does not accept ed25519.",
        Text(one_of("ed25519", "ecdsa", "rsa4096")),
        env="CODER_SSH_KEYGEN_ALGORITHM",
        default="ed25519",
    ),
    Option(
        "Metrics Cache Refresh Interval",
        "How often Coder's server updates its cached statistics of template usage.",
        Duration(),
        env="CODER_METRICS_CACHE_REFRESH_INTERVAL",
        yaml="",
        default="4h0m0s",
        hidden=True,
        remark="coderapi does not use this cache. It updates its stats at the Agent Stat Refresh "
        "Interval.",
    ),
    Option(
        "Agent Stat Refresh Interval",
        "How often agents report their stats, and how often the stats of the deployment are "
        "updated.",
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
        "The URL of the help page for problems with an agent. It is used if the agent's template "
        "sets no such URL.",
        URL(),
        env="CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL",
        default="https://coder.com/docs/admin/templates/troubleshooting",
        hidden=True,
    ),
    _networking_option(
        "Browser Only",
        "Allow access to workspaces only through the browser. SSH and desktop editors cannot "
        "connect.",
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
        "SCIM Use Legacy",
        "Use the older implementation of SCIM. Disable it to use the newer implementation.",
        Bool(),
        env="CODER_SCIM_USE_LEGACY",
        default="true",
        enterprise=True,
        documented=False,
    ),
    Option(
        "External Token Encryption Keys",
        "The base64-encoded keys that encrypt stored tokens of other services, with the newest key "
        "first. Keep an old key until all tokens are encrypted with the newest key.",
        TextList(),
        env="CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS",
        secret=True,
        enterprise=True,
    ),
    Option(
        "Disable Path Apps",
        "Do not serve workspace applications under a path of the access URL. This is safer, but "
        "applications then require a wildcard access URL.",
        Bool(),
        env="CODER_DISABLE_PATH_APPS",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Owner Workspace Access",
        "Deny owners access to other users' workspaces. Owners can still list and delete these "
        "workspaces.",
        Bool(),
        env="CODER_DISABLE_OWNER_WORKSPACE_ACCESS",
        json_path="disable_owner_workspace_exec",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Workspace Sharing",
        "Prevent users from sharing their workspaces.",
        Bool(),
        env="CODER_DISABLE_WORKSPACE_SHARING",
    ),
    Option(
        "Disable Chat Sharing",
        "Prevent users from sharing their AI chats.",
        Bool(),
        env="CODER_DISABLE_CHAT_SHARING",
        documented=False,
    ),
    _http_option(
        "Session Duration",
        "The time after which an unused browser session expires. Requests extend the session, "
        "unless Disable Session Expiry Refresh is set.",
        Duration(),
        env="CODER_SESSION_DURATION",
        json_path="session_lifetime.default_duration",
        default="24h0m0s",
        obeyed=True,
    ),
    _http_option(
        "Disable Session Expiry Refresh",
        "Do not extend sessions that are in use. Users must then sign in again after each session "
        "duration.",
        Bool(),
        env="CODER_DISABLE_SESSION_EXPIRY_REFRESH",
        json_path="session_lifetime.disable_expiry_refresh",
        obeyed=True,
    ),
    _http_option(
        "Disable Password Authentication",
        "Disable sign-in with a password. First make sure that users can sign in in another way. "
        "Owners can still sign in to the admin with a password.",
        Bool(),
        env="CODER_DISABLE_PASSWORD_AUTH",
        obeyed=True,
    ),
)
