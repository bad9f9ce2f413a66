"""Limits, token lifetimes and what is forbidden. These options stand outside any group."""

from __future__ import annotations

from options.option import Option
from options.values import Bool, Duration, Integer, Text, TextList
from options.values.rules import one_of

PROTECTION_OPTIONS = (
    Option(
        name="Disable All Rate Limits",
        description=(
            "Switch all rate limits off. Only for load tests: it also opens the door to guessing "
            "passwords."
        ),
        type=Bool(),
        json_path="rate_limit.disable_all",
        env="CODER_DANGEROUS_DISABLE_RATE_LIMITS",
        flag="dangerous-disable-rate-limits",
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="API Rate Limit",
        description=(
            "How many requests a minute one user, or one address without a session, may make. A "
            "negative number means no limit, and 0 the usual 512."
        ),
        type=Integer(),
        json_path="rate_limit.api",
        env="CODER_API_RATE_LIMIT",
        flag="api-rate-limit",
        default="512",
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Default Token Lifetime",
        description=(
            "How long an API token lives when nobody says otherwise. Command lines and editors "
            "sign in with such tokens."
        ),
        type=Duration(),
        json_path="session_lifetime.default_token_lifetime",
        env="CODER_DEFAULT_TOKEN_LIFETIME",
        flag="default-token-lifetime",
        yaml="defaultTokenLifetime",
        default="168h0m0s",
        obeyed=True,
    ),
    Option(
        name="Default OAuth Refresh Lifetime",
        description=(
            "How long a refresh token of an OAuth2 application stays valid. It should outlast the "
            "session duration."
        ),
        type=Duration(),
        json_path="session_lifetime.refresh_default_duration",
        env="CODER_DEFAULT_OAUTH_REFRESH_LIFETIME",
        flag="default-oauth-refresh-lifetime",
        yaml="defaultOAuthRefreshLifetime",
        default="720h0m0s",
    ),
    Option(
        name="Terms of Service URL",
        description=(
            "A page whose terms people accept by signing in. A link to it is shown at sign-in."
        ),
        type=Text(),
        json_path="terms_of_service_url",
        env="CODER_TERMS_OF_SERVICE_URL",
        flag="terms-of-service-url",
        yaml="termsOfServiceURL",
        obeyed=True,
    ),
    Option(
        name="SSH Keygen Algorithm",
        description=(
            "The kind of SSH key that each new user gets: ed25519, ecdsa or rsa4096. Change it for "
            "Git servers that refuse ed25519."
        ),
        type=Text(one_of("ed25519", "ecdsa", "rsa4096")),
        json_path="ssh_keygen_algorithm",
        env="CODER_SSH_KEYGEN_ALGORITHM",
        flag="ssh-keygen-algorithm",
        yaml="sshKeygenAlgorithm",
        default="ed25519",
    ),
    Option(
        name="SCIM API Key",
        description=(
            "The secret with which an identity provider may create and suspend accounts through "
            "SCIM. SCIM is off without it."
        ),
        type=Text(),
        json_path="scim_api_key",
        env="CODER_SCIM_AUTH_HEADER",
        flag="scim-auth-header",
        secret=True,
        enterprise=True,
    ),
    Option(
        name="External Token Encryption Keys",
        description=(
            "Keys that encrypt stored tokens of other services, base64-encoded, the newest first. "
            "Keep old keys in the list until everything is encrypted anew."
        ),
        type=TextList(),
        json_path="external_token_encryption_keys",
        env="CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS",
        flag="external-token-encryption-keys",
        secret=True,
        enterprise=True,
    ),
    Option(
        name="Disable Path Apps",
        description=(
            "Serve no workspace applications under a path of the main site. Safer, but "
            "applications then need a wildcard access URL."
        ),
        type=Bool(),
        json_path="disable_path_apps",
        env="CODER_DISABLE_PATH_APPS",
        flag="disable-path-apps",
        yaml="disablePathApps",
        external_workspace_proxies=True,
    ),
    Option(
        name="Disable Owner Workspace Access",
        description=(
            "Keep owners of the deployment from entering other people's workspaces. They can still "
            "see and delete them."
        ),
        type=Bool(),
        json_path="disable_owner_workspace_exec",
        env="CODER_DISABLE_OWNER_WORKSPACE_ACCESS",
        flag="disable-owner-workspace-access",
        yaml="disableOwnerWorkspaceAccess",
        external_workspace_proxies=True,
    ),
    Option(
        name="Disable Workspace Sharing",
        description="Keep people from giving others access to their workspaces.",
        type=Bool(),
        json_path="disable_workspace_sharing",
        env="CODER_DISABLE_WORKSPACE_SHARING",
        flag="disable-workspace-sharing",
        yaml="disableWorkspaceSharing",
    ),
)
