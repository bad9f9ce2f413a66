"""Options for sign-in with OpenID Connect, and for the claims of the identity provider."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import OIDC
from options.option import Option
from options.values.lists import TextList
from options.values.scalars import Bool, Regexp, Text
from options.values.structs import TextListMap, TextMap, UUIDListMap
from options.values.urls import URL

_oidc_option = partial(Option, group=OIDC)

OIDC_OPTIONS = (
    _oidc_option(
        "OIDC Allow Signups",
        "Create an account when a user signs in with OpenID Connect for the first time. Disable "
        "it if administrators create all accounts.",
        Bool(),
        env="CODER_OIDC_ALLOW_SIGNUPS",
        default="true",
    ),
    _oidc_option(
        "OIDC Client ID",
        "The client ID that the identity provider issued for this deployment.",
        Text(),
        env="CODER_OIDC_CLIENT_ID",
    ),
    _oidc_option(
        "OIDC Client Secret",
        "The client secret that the identity provider issued for this deployment.",
        Text(),
        env="CODER_OIDC_CLIENT_SECRET",
        secret=True,
    ),
    _oidc_option(
        "OIDC Client Key File",
        "A PEM file with the private key for signed assertions. Some identity providers require a "
        "signed assertion instead of a client secret.",
        Text(),
        env="CODER_OIDC_CLIENT_KEY_FILE",
        yaml="oidcClientKeyFile",
        json_path="oidc.client_key_file",
    ),
    _oidc_option(
        "OIDC Client Cert File",
        "A PEM file with the certificate for signed assertions. It must belong to the key in OIDC "
        "Client Key File.",
        Text(),
        env="CODER_OIDC_CLIENT_CERT_FILE",
        yaml="oidcClientCertFile",
        json_path="oidc.client_cert_file",
    ),
    _oidc_option(
        "OIDC Email Domain",
        "The domains of e-mail addresses whose users may sign in. If it is empty, all domains are "
        "allowed. Set it if the identity provider also has external users.",
        TextList(),
        env="CODER_OIDC_EMAIL_DOMAIN",
    ),
    _oidc_option(
        "OIDC Issuer URL",
        "The issuer URL of the identity provider. The server uses it to discover the provider's "
        "endpoints and keys.",
        Text(),
        env="CODER_OIDC_ISSUER_URL",
    ),
    _oidc_option(
        "OIDC Scopes",
        "The scopes to request at sign-in. Add a scope if a required claim is missing, for example "
        "groups.",
        TextList(),
        env="CODER_OIDC_SCOPES",
        default="openid,profile,email",
    ),
    _oidc_option(
        "OIDC Ignore Email Verified",
        "Accept e-mail addresses that the identity provider has not verified. Enable it only if "
        "the provider does not send the claim email_verified.",
        Bool(),
        env="CODER_OIDC_IGNORE_EMAIL_VERIFIED",
    ),
    _oidc_option(
        "OIDC Username Field",
        "The claim that contains the username for a new account.",
        Text(),
        env="CODER_OIDC_USERNAME_FIELD",
        default="preferred_username",
    ),
    _oidc_option(
        "OIDC Name Field",
        "The claim that contains the user's full name.",
        Text(),
        env="CODER_OIDC_NAME_FIELD",
        default="name",
    ),
    _oidc_option(
        "OIDC Email Field",
        "The claim that contains the user's e-mail address.",
        Text(),
        env="CODER_OIDC_EMAIL_FIELD",
        default="email",
    ),
    _oidc_option(
        "OIDC Auth URL Parameters",
        "A map of additional parameters for the URL that starts a sign-in. Some providers require "
        "a parameter to issue refresh tokens.",
        TextMap(),
        env="CODER_OIDC_AUTH_URL_PARAMS",
        default='{"access_type": "offline"}',
    ),
    _oidc_option(
        "OIDC Ignore UserInfo",
        "Read claims only from the ID token, and not from the provider's userinfo endpoint. "
        "Enable it if the endpoint does not exist or returns wrong data.",
        Bool(),
        env="CODER_OIDC_IGNORE_USERINFO",
        yaml="ignoreUserInfo",
        default="false",
    ),
    _oidc_option(
        "OIDC Access Token Claims",
        "Read claims from the access token instead of the userinfo endpoint. Enable it only if the "
        "provider puts claims nowhere else.",
        Bool(),
        env="CODER_OIDC_ACCESS_TOKEN_CLAIMS",
        json_path="oidc.source_user_info_from_access_token",
        default="false",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Organization Field",
        "The claim that contains the user's organizations. If it is set, the identity provider "
        "determines the organizations of users.",
        Text(),
        env="CODER_OIDC_ORGANIZATION_FIELD",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Assign Default Organization",
        "Add every user who signs in to the default organization. Disable it if only the identity "
        "provider should determine the organizations.",
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
        "The claim that contains the user's groups. If it is set, groups are synchronized with the "
        "identity provider.",
        Text(),
        env="CODER_OIDC_GROUP_FIELD",
        json_path="oidc.groups_field",
    ),
    _oidc_option(
        "OIDC Group Mapping",
        "A map from group names at the identity provider to group names in Coder. Groups that are "
        "not in the map keep their names.",
        TextMap(),
        env="CODER_OIDC_GROUP_MAPPING",
        default="{}",
    ),
    _oidc_option(
        "Enable OIDC Group Auto Create",
        "Create a group in Coder if the identity provider sends a group that does not exist.",
        Bool(),
        env="CODER_OIDC_GROUP_AUTO_CREATE",
        yaml="enableGroupAutoCreate",
        json_path="oidc.group_auto_create",
        default="false",
    ),
    _oidc_option(
        "OIDC Regex Group Filter",
        "A regular expression for group names. Only matching groups are used. The names are "
        "matched after the group mapping.",
        Regexp(),
        env="CODER_OIDC_GROUP_REGEX_FILTER",
        default=".*",
    ),
    _oidc_option(
        "OIDC Allowed Groups",
        "The groups whose members may sign in. If it is empty, all users may sign in.",
        TextList(),
        env="CODER_OIDC_ALLOWED_GROUPS",
        yaml="groupAllowed",
        json_path="oidc.group_allow_list",
    ),
    _oidc_option(
        "OIDC User Role Field",
        "The claim that contains the user's roles. If it is set, the identity provider determines "
        "the roles of users.",
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
        "The roles that every user gets at sign-in, in addition to the roles from the identity "
        "provider.",
        TextList(),
        env="CODER_OIDC_USER_ROLE_DEFAULT",
        json_path="oidc.user_roles_default",
    ),
    _oidc_option(
        "OpenID Connect sign in text",
        "The label of the sign-in button for OpenID Connect.",
        Text(),
        env="CODER_OIDC_SIGN_IN_TEXT",
        default="OpenID Connect",
    ),
    _oidc_option(
        "OpenID connect icon URL",
        "The URL of the icon on the sign-in button for OpenID Connect.",
        URL(),
        env="CODER_OIDC_ICON_URL",
    ),
    _oidc_option(
        "Signups disabled text",
        "The message for users without an account if OIDC Allow Signups is disabled.",
        Text(),
        env="CODER_OIDC_SIGNUPS_DISABLED_TEXT",
    ),
    _oidc_option(
        "Skip OIDC issuer checks (not recommended)",
        "Accept ID tokens whose issuer differs from the configured issuer. This makes sign-in less "
        "secure. Enable it only if you cannot change the identity provider.",
        Bool(),
        env="CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS",
        yaml="dangerousSkipIssuerChecks",
        json_path="oidc.skip_issuer_checks",
    ),
    _oidc_option(
        "OIDC Redirect URL",
        "The URL to which the identity provider redirects users after sign-in. Set it only if the "
        "URL that is derived from the access URL does not work.",
        URL(),
        env="CODER_OIDC_REDIRECT_URL",
        yaml="oidc-redirect-url",
        json_path="oidc.redirect_url",
        hidden=True,
        documented=False,
    ),
    _oidc_option(
        "OIDC Auto Repair Links",
        "If the identity provider knows a user by a new ID, link the existing account to the new "
        "ID when the user signs in.",
        Bool(),
        env="CODER_OIDC_REPAIR_LINKS",
        yaml="oidc-repair-links",
        json_path="oidc.auto_repair_links",
        default="true",
        hidden=True,
        documented=False,
    ),
)
