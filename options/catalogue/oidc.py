"""Sign-in with OpenID Connect, and the claims that are used."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import OIDC
from options.option import Option
from options.values import URL, Bool, Regexp, Text, TextList, TextListMap, TextMap, UUIDListMap

_oidc_option = partial(Option, group=OIDC)

OIDC_OPTIONS = (
    _oidc_option(
        "OIDC Allow Signups",
        "Make an account for somebody who signs in with OpenID Connect for the first time. Switch "
        "it off if accounts are made by hand.",
        Bool(),
        env="CODER_OIDC_ALLOW_SIGNUPS",
        default="true",
    ),
    _oidc_option(
        "OIDC Client ID",
        "The client id under which the identity provider knows this deployment.",
        Text(),
        env="CODER_OIDC_CLIENT_ID",
    ),
    _oidc_option(
        "OIDC Client Secret",
        "The secret that belongs to the client id at the identity provider.",
        Text(),
        env="CODER_OIDC_CLIENT_SECRET",
        secret=True,
    ),
    _oidc_option(
        "OIDC Client Key File",
        "A PEM file with the private key for providers that take a signed assertion instead of a "
        "client secret.",
        Text(),
        env="CODER_OIDC_CLIENT_KEY_FILE",
        yaml="oidcClientKeyFile",
        json_path="oidc.client_key_file",
    ),
    _oidc_option(
        "OIDC Client Cert File",
        "A PEM file with the certificate that belongs to the key for signed assertions.",
        Text(),
        env="CODER_OIDC_CLIENT_CERT_FILE",
        yaml="oidcClientCertFile",
        json_path="oidc.client_cert_file",
    ),
    _oidc_option(
        "OIDC Email Domain",
        "The e-mail domains whose owners may sign in; empty allows all. Set it when the provider "
        "also serves people from outside.",
        TextList(),
        env="CODER_OIDC_EMAIL_DOMAIN",
    ),
    _oidc_option(
        "OIDC Issuer URL",
        "The identity provider's issuer address, from which its endpoints and keys are discovered.",
        Text(),
        env="CODER_OIDC_ISSUER_URL",
    ),
    _oidc_option(
        "OIDC Scopes",
        "What is asked of the provider at sign-in. Add a scope when a claim that you need, such as "
        "groups, is missing.",
        TextList(),
        env="CODER_OIDC_SCOPES",
        default="openid,profile,email",
    ),
    _oidc_option(
        "OIDC Ignore Email Verified",
        "Accept e-mail addresses that the provider has not verified. Only for providers that never "
        "say so.",
        Bool(),
        env="CODER_OIDC_IGNORE_EMAIL_VERIFIED",
    ),
    _oidc_option(
        "OIDC Username Field",
        "The claim from which a new account takes its user name.",
        Text(),
        env="CODER_OIDC_USERNAME_FIELD",
        default="preferred_username",
    ),
    _oidc_option(
        "OIDC Name Field",
        "The claim from which an account takes the person's full name.",
        Text(),
        env="CODER_OIDC_NAME_FIELD",
        default="name",
    ),
    _oidc_option(
        "OIDC Email Field",
        "The claim from which an account takes its e-mail address.",
        Text(),
        env="CODER_OIDC_EMAIL_FIELD",
        default="email",
    ),
    _oidc_option(
        "OIDC Auth URL Parameters",
        "Further parameters of the address that starts a sign-in, as a map. Some providers need "
        "one before they hand out refresh tokens.",
        TextMap(),
        env="CODER_OIDC_AUTH_URL_PARAMS",
        default='{"access_type": "offline"}',
    ),
    _oidc_option(
        "OIDC Ignore UserInfo",
        "Take claims from the id token alone and leave the provider's user-info endpoint unasked. "
        "For providers whose endpoint is missing or wrong.",
        Bool(),
        env="CODER_OIDC_IGNORE_USERINFO",
        yaml="ignoreUserInfo",
        default="false",
    ),
    _oidc_option(
        "OIDC Access Token Claims",
        "Take claims from the access token instead of the user-info endpoint. Only for providers "
        "that put them nowhere else.",
        Bool(),
        env="CODER_OIDC_ACCESS_TOKEN_CLAIMS",
        json_path="oidc.source_user_info_from_access_token",
        default="false",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Organization Field",
        "The claim that lists the organisations of a person. Set it to let the provider decide who "
        "belongs where.",
        Text(),
        env="CODER_OIDC_ORGANIZATION_FIELD",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Assign Default Organization",
        "Put everybody who signs in into the default organisation too. Switch it off when the "
        "provider's list should be the whole truth.",
        Bool(),
        env="CODER_OIDC_ORGANIZATION_ASSIGN_DEFAULT",
        default="true",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Organization Sync Mapping",
        "A map from the provider's organisations to lists of organisation ids here.",
        UUIDListMap(),
        env="CODER_OIDC_ORGANIZATION_MAPPING",
        default="{}",
        hidden=True,
    ),
    _oidc_option(
        "OIDC Group Field",
        "The claim that lists the groups of a person. Set it to keep groups in step with the "
        "provider.",
        Text(),
        env="CODER_OIDC_GROUP_FIELD",
        json_path="oidc.groups_field",
    ),
    _oidc_option(
        "OIDC Group Mapping",
        "A map from the provider's group names to group names here. Groups that it leaves out keep "
        "their names.",
        TextMap(),
        env="CODER_OIDC_GROUP_MAPPING",
        default="{}",
    ),
    _oidc_option(
        "Enable OIDC Group Auto Create",
        "Make groups that the provider names and that do not exist yet.",
        Bool(),
        env="CODER_OIDC_GROUP_AUTO_CREATE",
        yaml="enableGroupAutoCreate",
        json_path="oidc.group_auto_create",
        default="false",
    ),
    _oidc_option(
        "OIDC Regex Group Filter",
        "Only groups whose names match this expression are used. It is applied after the mapping.",
        Regexp(),
        env="CODER_OIDC_GROUP_REGEX_FILTER",
        default=".*",
    ),
    _oidc_option(
        "OIDC Allowed Groups",
        "Only members of one of these groups may sign in; empty allows all.",
        TextList(),
        env="CODER_OIDC_ALLOWED_GROUPS",
        yaml="groupAllowed",
        json_path="oidc.group_allow_list",
    ),
    _oidc_option(
        "OIDC User Role Field",
        "The claim that lists the roles of a person. Set it to let the provider decide who is, "
        "say, an owner.",
        Text(),
        env="CODER_OIDC_USER_ROLE_FIELD",
    ),
    _oidc_option(
        "OIDC User Role Mapping",
        "A map from the provider's roles to lists of roles here.",
        TextListMap(),
        env="CODER_OIDC_USER_ROLE_MAPPING",
        default="{}",
    ),
    _oidc_option(
        "OIDC User Role Default",
        "The roles that everybody gets who signs in, besides those that the provider names.",
        TextList(),
        env="CODER_OIDC_USER_ROLE_DEFAULT",
        json_path="oidc.user_roles_default",
    ),
    _oidc_option(
        "OpenID Connect sign in text",
        "What the sign-in button for OpenID Connect says.",
        Text(),
        env="CODER_OIDC_SIGN_IN_TEXT",
        default="OpenID Connect",
    ),
    _oidc_option(
        "OpenID connect icon URL",
        "The picture on the sign-in button for OpenID Connect.",
        URL(),
        env="CODER_OIDC_ICON_URL",
    ),
    _oidc_option(
        "Signups disabled text",
        "What somebody without an account reads when sign-ups through OpenID Connect are off.",
        Text(),
        env="CODER_OIDC_SIGNUPS_DISABLED_TEXT",
    ),
    _oidc_option(
        "Skip OIDC issuer checks (not recommended)",
        "Accept id tokens whose issuer differs from the configured one. It weakens sign-in; use it "
        "only for a provider that cannot be put right.",
        Bool(),
        env="CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS",
        yaml="dangerousSkipIssuerChecks",
        json_path="oidc.skip_issuer_checks",
    ),
)
