"""Sessions, cookies, the database, and what else one server has."""

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
        "The longest lifetime that people may ask for when they make an API token.",
        Duration(),
        env="CODER_MAX_TOKEN_LIFETIME",
        json_path="session_lifetime.max_token_lifetime",
        default="876600h0m0s",
        obeyed=True,
    ),
    _http_option(
        "Maximum Admin Token Lifetime",
        "The longest lifetime that owners may ask for when they make an API token. Their tokens "
        "are worth more, so it should be short.",
        Duration(),
        env="CODER_MAX_ADMIN_TOKEN_LIFETIME",
        json_path="session_lifetime.max_admin_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default Token Lifetime",
        "How long an API token lives when nobody says otherwise. Command lines and editors sign in "
        "with such tokens.",
        Duration(),
        env="CODER_DEFAULT_TOKEN_LIFETIME",
        json_path="session_lifetime.default_token_lifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        "Default OAuth Refresh Lifetime",
        "How long a refresh token of an OAuth2 application stays valid. It should outlast the "
        "session duration.",
        Duration(),
        env="CODER_DEFAULT_OAUTH_REFRESH_LIFETIME",
        yaml="defaultOAuthRefreshLifetime",
        json_path="session_lifetime.refresh_default_duration",
        default="720h0m0s",
    ),
    Option(
        "Enable swagger endpoint",
        "Serve a page that describes the API and lets people try it out.",
        Bool(),
        env="CODER_SWAGGER_ENABLE",
        yaml="enableSwagger",
        json_path="swagger.enable",
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Headers",
        "The headers in which trusted proxies pass on the client's address, such as "
        "X-Forwarded-For. Set it together with the trusted origins when a proxy stands in front.",
        TextList(),
        env="CODER_PROXY_TRUSTED_HEADERS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Proxy Trusted Origins",
        "The addresses or networks of proxies whose headers are believed, such as 10.0.0.0/8. "
        "Never name a network from which clients connect directly.",
        TextList(NETWORK),
        env="CODER_PROXY_TRUSTED_ORIGINS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Cache Directory",
        "Where Coder's server keeps files that it can make again, such as downloaded Terraform "
        "providers. Put it on a disk with room.",
        Text(),
        env="CODER_CACHE_DIRECTORY",
        flag="cache-dir",
        json_path="cache_directory",
        default="~/.cache/coder",
    ),
    Option(
        "Ephemeral Deployment",
        "Run a throw-away deployment whose database and files are gone when it ends. For trying "
        "things out.",
        Bool(),
        env="CODER_EPHEMERAL",
        yaml="ephemeralDeployment",
        hidden=True,
    ),
    Option(
        "Postgres Connection URL",
        "The address of the PostgreSQL database, with user and password. Without it the server "
        "starts a private database of its own.",
        Text(),
        env="CODER_PG_CONNECTION_URL",
        flag="postgres-url",
        json_path="pg_connection_url",
        secret=True,
        obeyed=True,
    ),
    Option(
        "Postgres Auth",
        "How to sign in to PostgreSQL: with the password of the URL, or with an AWS identity "
        "(awsiamrds). This service supports the password alone.",
        Choice(("password", "awsiamrds")),
        env="CODER_PG_AUTH",
        flag="postgres-auth",
        yaml="pgAuth",
        default="password",
        obeyed=True,
    ),
    Option(
        "Postgres Connection Max Open",
        "The most connections to the database that the server keeps open at once. The database "
        "must allow as many for each server, and some more.",
        Integer(minimum=1),
        env="CODER_PG_CONN_MAX_OPEN",
        flag="postgres-conn-max-open",
        yaml="pgConnMaxOpen",
        default="10",
        obeyed=True,
    ),
    Option(
        "Postgres Connection Max Idle",
        "How many unused connections stay open for later: a number, or auto for a third of the "
        "maximum.",
        Text(IDLE_CONNECTIONS),
        env="CODER_PG_CONN_MAX_IDLE",
        flag="postgres-conn-max-idle",
        yaml="pgConnMaxIdle",
        default="auto",
        obeyed=True,
    ),
    _networking_option(
        "Secure Auth Cookie",
        "Mark the session cookie so that browsers send it over HTTPS only. Switch it on wherever "
        "people use HTTPS.",
        Bool(),
        env="CODER_SECURE_AUTH_COOKIE",
        json_path="http_cookies.secure_auth_cookie",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "SameSite Auth Cookie",
        "Whether browsers send the session cookie along with requests that other sites cause: lax "
        "or none. Choose none only if the dashboard is embedded elsewhere.",
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
        "A page whose terms people accept by signing in. A link to it is shown at sign-in.",
        Text(),
        env="CODER_TERMS_OF_SERVICE_URL",
        obeyed=True,
    ),
    Option(
        "Strict-Transport-Security",
        "For how many seconds browsers remember to use HTTPS only; 0 sends no such header. Raise "
        "it step by step, since browsers do not forget earlier.",
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
        "Additions to the header that makes browsers use HTTPS only: includeSubDomains, preload. "
        "They count only with a time above 0.",
        TextList(one_of("includeSubDomains", "preload")),
        env="CODER_STRICT_TRANSPORT_SECURITY_OPTIONS",
        json_path="strict_transport_security_options",
        group=TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "SSH Keygen Algorithm",
        "The kind of SSH key that each new user gets: ed25519, ecdsa or rsa4096. Change it for Git "
        "servers that refuse ed25519.",
        Text(one_of("ed25519", "ecdsa", "rsa4096")),
        env="CODER_SSH_KEYGEN_ALGORITHM",
        default="ed25519",
    ),
    Option(
        "Metrics Cache Refresh Interval",
        "How often Coder's server works out the figures on template usage again.",
        Duration(),
        env="CODER_METRICS_CACHE_REFRESH_INTERVAL",
        yaml="",
        default="4h0m0s",
        hidden=True,
        remark="This service keeps no such cache; its statistics follow the agent stats interval.",
    ),
    Option(
        "Agent Stat Refresh Interval",
        "How often agents report their figures, and so how often the deployment's statistics are "
        "renewed.",
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
        "Where people are sent for help when an agent misbehaves and its template names no page of "
        "its own.",
        URL(),
        env="CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL",
        default="https://coder.com/docs/admin/templates/troubleshooting",
        hidden=True,
    ),
    _networking_option(
        "Browser Only",
        "Let people reach workspaces through the browser alone, not through SSH or desktop "
        "editors.",
        Bool(),
        env="CODER_BROWSER_ONLY",
        enterprise=True,
    ),
    Option(
        "SCIM API Key",
        "The secret with which an identity provider may create and suspend accounts through SCIM. "
        "SCIM is off without it.",
        Text(),
        env="CODER_SCIM_AUTH_HEADER",
        json_path="scim_api_key",
        secret=True,
        enterprise=True,
    ),
    Option(
        "External Token Encryption Keys",
        "Keys that encrypt stored tokens of other services, base64-encoded, the newest first. Keep "
        "old keys in the list until everything is encrypted again.",
        TextList(),
        env="CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS",
        secret=True,
        enterprise=True,
    ),
    Option(
        "Disable Path Apps",
        "Serve no workspace applications under a path of the main site. Safer, but applications "
        "then need a wildcard access URL.",
        Bool(),
        env="CODER_DISABLE_PATH_APPS",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Owner Workspace Access",
        "Keep owners of the deployment from entering other people's workspaces. They can still see "
        "and delete them.",
        Bool(),
        env="CODER_DISABLE_OWNER_WORKSPACE_ACCESS",
        json_path="disable_owner_workspace_exec",
        external_workspace_proxies=True,
    ),
    Option(
        "Disable Workspace Sharing",
        "Keep people from giving others access to their workspaces.",
        Bool(),
        env="CODER_DISABLE_WORKSPACE_SHARING",
    ),
    _http_option(
        "Session Duration",
        "How long a browser session lasts without use. Activity prolongs it unless the refresh is "
        "disabled.",
        Duration(),
        env="CODER_SESSION_DURATION",
        json_path="session_lifetime.default_duration",
        default="24h0m0s",
        obeyed=True,
    ),
    _http_option(
        "Disable Session Expiry Refresh",
        "End sessions when their time is up even if they are in use. Makes people sign in more "
        "often.",
        Bool(),
        env="CODER_DISABLE_SESSION_EXPIRY_REFRESH",
        json_path="session_lifetime.disable_expiry_refresh",
        obeyed=True,
    ),
    _http_option(
        "Disable Password Authentication",
        "Refuse sign-in with a password. Make sure first that there is another way in; the "
        "administration pages still let owners in.",
        Bool(),
        env="CODER_DISABLE_PASSWORD_AUTH",
        obeyed=True,
    ),
)
