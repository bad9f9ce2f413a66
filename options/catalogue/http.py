"""The plain listener, sessions and tokens, and what goes with the pages."""

from __future__ import annotations

from options.catalogue.groups import NETWORKING_HTTP
from options.option import Option
from options.values import Bool, Duration, Text, TextList

HTTP_OPTIONS = (
    Option(
        name="HTTP Address",
        description=(
            "The address and port for plain HTTP; empty switches plain HTTP off. Use 0.0.0.0 as "
            "the host to be reachable from other machines."
        ),
        type=Text(),
        json_path="http_address",
        env="CODER_HTTP_ADDRESS",
        flag="http-address",
        yaml="httpAddress",
        default="127.0.0.1:3000",
        group=NETWORKING_HTTP,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Additional CSP Policy",
        description=(
            "Directives that are added to the content security policy of the server's pages. "
            "Needed when a page must load something from another site."
        ),
        type=TextList(),
        json_path="additional_csp_policy",
        env="CODER_ADDITIONAL_CSP_POLICY",
        flag="additional-csp-policy",
        yaml="additionalCSPPolicy",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Max Token Lifetime",
        description="The longest lifetime that people may ask for when they make an API token.",
        type=Duration(),
        json_path="session_lifetime.max_token_lifetime",
        env="CODER_MAX_TOKEN_LIFETIME",
        flag="max-token-lifetime",
        yaml="maxTokenLifetime",
        default="876600h0m0s",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Maximum Admin Token Lifetime",
        description=(
            "The longest lifetime that owners may ask for when they make an API token. Their "
            "tokens are worth more, so it should be short."
        ),
        type=Duration(),
        json_path="session_lifetime.max_admin_token_lifetime",
        env="CODER_MAX_ADMIN_TOKEN_LIFETIME",
        flag="max-admin-token-lifetime",
        yaml="maxAdminTokenLifetime",
        default="168h0m0s",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Session Duration",
        description=(
            "How long a browser session lasts without use. Activity prolongs it unless the refresh "
            "is disabled."
        ),
        type=Duration(),
        json_path="session_lifetime.default_duration",
        env="CODER_SESSION_DURATION",
        flag="session-duration",
        yaml="sessionDuration",
        default="24h0m0s",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Disable Session Expiry Refresh",
        description=(
            "End sessions when their time is up even if they are in use. Makes people sign in more "
            "often."
        ),
        type=Bool(),
        json_path="session_lifetime.disable_expiry_refresh",
        env="CODER_DISABLE_SESSION_EXPIRY_REFRESH",
        flag="disable-session-expiry-refresh",
        yaml="disableSessionExpiryRefresh",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Disable Password Authentication",
        description=(
            "Refuse sign-in with a password. Make sure first that there is another way in; the "
            "administration pages still let owners in."
        ),
        type=Bool(),
        json_path="disable_password_auth",
        env="CODER_DISABLE_PASSWORD_AUTH",
        flag="disable-password-auth",
        yaml="disablePasswordAuth",
        group=NETWORKING_HTTP,
        obeyed=True,
    ),
    Option(
        name="Proxy Health Check Interval",
        description="How often workspace proxies are asked whether they are well.",
        type=Duration(),
        json_path="proxy_health_status_interval",
        env="CODER_PROXY_HEALTH_INTERVAL",
        flag="proxy-health-interval",
        yaml="proxyHealthInterval",
        default="1m0s",
        group=NETWORKING_HTTP,
    ),
)
