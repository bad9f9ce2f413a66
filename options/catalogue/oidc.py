"""Sign-in with OpenID Connect, and its claims."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import OIDC
from options.option import Option
from options.values import URL, Bool, Regexp, Text, TextList, TextListMap, TextMap, UUIDListMap

_oidc_option = partial(Option, group=OIDC)

OIDC_OPTIONS = (
    _oidc_option(
        "OIDC Allow Signups",
        "Create an account at a user's first sign-in with OpenID Connect. Disable it if you create "
        "accounts yourself.",
        Bool(),
        env="CODER_OIDC_ALLOW_SIGNUPS",
        default="true",
    ),
    _oidc_option(
        "OIDC Client ID",
        "The client ID of this deployment at the identity provider.",
        Text(),
        env="CODER_OIDC_CLIENT_ID",
    ),
    _oidc_option(
        "OIDC Client Secret",
        "The client secret of this deployment at the identity provider.",
        Text(),
        env="CODER_OIDC_CLIENT_SECRET",
        secret=True,
    ),
    _oidc_option(
        "OIDC Client Key File",
        "A PEM file with the private key, for providers that use a signed assertion instead of a "
        "client secret.",
        Text(),
        env="CODER_OIDC_CLIENT_KEY_FILE",
        yaml="oidcClientKeyFile",
        json_path="oidc.client_key_file",
    ),
    _oidc_option(
        "OIDC Client Cert File",
        "A PEM file with the certificate of the key for signed assertions.",
        Text(),
        env="CODER_OIDC_CLIENT_CERT_FILE",
        yaml="oidcClientCertFile",
        json_path="oidc.client_cert_file",
    ),
    _oidc_option(
        "OIDC Email Domain",
        "The e-mail domains whose users may sign in. Empty allows all. Set it if the provider also "
        "has external users.",
        TextList(),
        env="CODER_OIDC_EMAIL_DOMAIN",
    ),
    _oidc_option(
        "OIDC Issuer URL",
        "The issuer URL of the identity provider, for discovering its endpoints and keys.",
        Text(),
        env="CODER_OIDC_ISSUER_URL",
    ),
    _oidc_option(
        "OIDC Scopes",
        "The scopes to request at sign-in. Add one if a claim that you need, such as groups, is "
        "missing.",
        TextList(),
        env="CODER_OIDC_SCOPES",
        default="openid,profile,email",
    ),
    _oidc_option(
        "OIDC Ignore Email Verified",
        "Accept e-mail addresses that the provider has not verified. Use it only if the provider "
        "never sends the claim.",
        Bool(),
        env="CODER_OIDC_IGNORE_EMAIL_VERIFIED",
    ),
    _oidc_option(
        "OIDC Username Field",
        "The claim with the username of a new account.",
        Text(),
        env="CODER_OIDC_USERNAME_FIELD",
        default="preferred_username",
    ),
    _oidc_option(
        "OIDC Name Field",
        "The claim with the user's full name.",
        Text(),
        env="CODER_OIDC_NAME_FIELD",
        default="name",
    ),
    _oidc_option(
        "OIDC Email Field",
        "The claim with the user's e-mail address.",
        Text(),
        env="CODER_OIDC_EMAIL_FIELD",
        default="email",
    ),
    _oidc_option(
        "OIDC Auth URL Parameters",
        "Extra parameters of the URL that starts a sign-in, as a map. Some providers need one to "
        "issue refresh tokens.",
        TextMap(),
        env="CODER_OIDC_AUTH_URL_PARAMS",
        default='{"access_type": "offline"}',
    ),
    _oidc_option(
        "OIDC Ignore UserInfo",
        "Read claims from the ID token only, without the provider's userinfo endpoint. Use it if "
        "that endpoint is missing or wrong.",
        Bool(),
        env="CODER_OIDC_IGNORE_USERINFO",
        yaml="ignoreUserInfo",
        default="false",
    ),
    _oidc_option(
        "OIDC Access Token Claims",
        "Read claims from the access token instead of the userinfo endpoint. Use it only if the "
        "provider has them nowhere else.",
        Bool(),
        env="CODER_OIDC_ACCESS_TOKEN_CLAIMS",
        json_path="oidc.source_user_info_from_access_token",
        default="false",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Organization Field",
        "The claim with the user's organizations. Set it to let the provider assign organizations.",
        Text(),
        env="CODER_OIDC_ORGANIZATION_FIELD",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Assign Default Organization",
        "Also add every user who signs in to the default organization. Disable it if only the "
        "provider's list should apply.",
        Bool(),
        env="CODER_OIDC_ORGANIZATION_ASSIGN_DEFAULT",
        default="true",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Organization Sync Mapping",
        "A map from the provider's organizations to lists of organization IDs.",
        UUIDListMap(),
        env="CODER_OIDC_ORGANIZATION_MAPPING",
        default="{}",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Group Field",
        "The claim with the user's groups. Set it to synchronize groups with the provider.",
        Text(),
        env="CODER_OIDC_GROUP_FIELD",
        json_path="oidc.groups_field",
    ),
    _oidc_option(
        "OIDC Group Mapping",
        "A map from the provider's group names to group names in Coder. Other groups keep their "
        "names.",
        TextMap(),
        env="CODER_OIDC_GROUP_MAPPING",
        default="{}",
    ),
    _oidc_option(
        "Enable OIDC Group Auto Create",
        "Create the provider's groups that do not exist yet.",
        Bool(),
        env="CODER_OIDC_GROUP_AUTO_CREATE",
        yaml="enableGroupAutoCreate",
        json_path="oidc.group_auto_create",
        default="false",
    ),
    _oidc_option(
        "OIDC Regex Group Filter",
        "A regular expression for the names of groups to use. It is applied after the mapping.",
        Regexp(),
        env="CODER_OIDC_GROUP_REGEX_FILTER",
        default=".*",
    ),
    _oidc_option(
        "OIDC Allowed Groups",
        "The groups whose members may sign in. Empty allows all users.",
        TextList(),
        env="CODER_OIDC_ALLOWED_GROUPS",
        yaml="groupAllowed",
        json_path="oidc.group_allow_list",
    ),
    _oidc_option(
        "OIDC User Role Field",
        "The claim with the user's roles. Set it to let the provider assign roles.",
        Text(),
        env="CODER_OIDC_USER_ROLE_FIELD",
    ),
    _oidc_option(
        "OIDC User Role Mapping",
        "A map from the provider's roles to lists of roles in Coder.",
        TextListMap(),
        env="CODER_OIDC_USER_ROLE_MAPPING",
        default="{}",
    ),
    _oidc_option(
        "OIDC User Role Default",
        "The roles of every user who signs in, in addition to the provider's.",
        TextList(),
        env="CODER_OIDC_USER_ROLE_DEFAULT",
        json_path="oidc.user_roles_default",
    ),
    _oidc_option(
        "OpenID Connect sign in text",
        "The text of the sign-in button for OpenID Connect.",
        Text(),
        env="CODER_OIDC_SIGN_IN_TEXT",
        default="OpenID Connect",
    ),
    _oidc_option(
        "OpenID connect icon URL",
        "The icon of the sign-in button for OpenID Connect.",
        URL(),
        env="CODER_OIDC_ICON_URL",
    ),
    _oidc_option(
        "Signups disabled text",
        "The message for users without an account if sign-ups through OpenID Connect are disabled.",
        Text(),
        env="CODER_OIDC_SIGNUPS_DISABLED_TEXT",
    ),
    _oidc_option(
        "Skip OIDC issuer checks (not recommended)",
        "Accept ID tokens with another issuer than the configured one. This weakens sign-in, so "
        "use it only if you cannot fix the provider.",
        Bool(),
        env="CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS",
        yaml="dangerousSkipIssuerChecks",
        json_path="oidc.skip_issuer_checks",
    ),
)
