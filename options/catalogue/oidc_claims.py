"""What is taken over from an OpenID Connect provider: names, groups, roles and organisations."""

from __future__ import annotations

from options.catalogue.groups import OIDC
from options.option import Option
from options.values import Bool, Regexp, Text, TextList, TextListMap, TextMap, UUIDListMap

_NOT_OFFERED = "Sign-in with OpenID Connect is not offered here."

OIDC_CLAIMS_OPTIONS = (
    Option(
        name="OIDC Username Field",
        description="The claim from which a new account takes its user name.",
        type=Text(),
        json_path="oidc.username_field",
        env="CODER_OIDC_USERNAME_FIELD",
        flag="oidc-username-field",
        yaml="usernameField",
        default="preferred_username",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Name Field",
        description="The claim from which an account takes the person's full name.",
        type=Text(),
        json_path="oidc.name_field",
        env="CODER_OIDC_NAME_FIELD",
        flag="oidc-name-field",
        yaml="nameField",
        default="name",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Email Field",
        description="The claim from which an account takes its e-mail address.",
        type=Text(),
        json_path="oidc.email_field",
        env="CODER_OIDC_EMAIL_FIELD",
        flag="oidc-email-field",
        yaml="emailField",
        default="email",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Ignore UserInfo",
        description=(
            "Take claims from the id token alone and leave the provider's user-info endpoint "
            "unasked. For providers whose endpoint is missing or wrong."
        ),
        type=Bool(),
        json_path="oidc.ignore_user_info",
        env="CODER_OIDC_IGNORE_USERINFO",
        flag="oidc-ignore-userinfo",
        yaml="ignoreUserInfo",
        default="false",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Access Token Claims",
        description=(
            "Take claims from the access token instead of the user-info endpoint. Only for "
            "providers that put them nowhere else."
        ),
        type=Bool(),
        json_path="oidc.source_user_info_from_access_token",
        env="CODER_OIDC_ACCESS_TOKEN_CLAIMS",
        flag="oidc-access-token-claims",
        yaml="accessTokenClaims",
        default="false",
        group=OIDC,
        hidden=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Organization Field",
        description=(
            "The claim that lists the organisations of a person. Set it to let the provider decide "
            "who belongs where."
        ),
        type=Text(),
        json_path="oidc.organization_field",
        env="CODER_OIDC_ORGANIZATION_FIELD",
        flag="oidc-organization-field",
        yaml="organizationField",
        group=OIDC,
        hidden=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Assign Default Organization",
        description=(
            "Put everybody who signs in into the default organisation too. Switch it off when the "
            "provider's list should be the whole truth."
        ),
        type=Bool(),
        json_path="oidc.organization_assign_default",
        env="CODER_OIDC_ORGANIZATION_ASSIGN_DEFAULT",
        flag="oidc-organization-assign-default",
        yaml="organizationAssignDefault",
        default="true",
        group=OIDC,
        hidden=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Organization Sync Mapping",
        description="A map from the provider's organisations to lists of organisation ids here.",
        type=UUIDListMap(),
        json_path="oidc.organization_mapping",
        env="CODER_OIDC_ORGANIZATION_MAPPING",
        flag="oidc-organization-mapping",
        yaml="organizationMapping",
        default="{}",
        group=OIDC,
        hidden=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Group Field",
        description=(
            "The claim that lists the groups of a person. Set it to keep groups in step with the "
            "provider."
        ),
        type=Text(),
        json_path="oidc.groups_field",
        env="CODER_OIDC_GROUP_FIELD",
        flag="oidc-group-field",
        yaml="groupField",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Group Mapping",
        description=(
            "A map from the provider's group names to group names here. Groups that it leaves out "
            "keep their names."
        ),
        type=TextMap(),
        json_path="oidc.group_mapping",
        env="CODER_OIDC_GROUP_MAPPING",
        flag="oidc-group-mapping",
        yaml="groupMapping",
        default="{}",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="Enable OIDC Group Auto Create",
        description="Make groups that the provider names and that do not exist yet.",
        type=Bool(),
        json_path="oidc.group_auto_create",
        env="CODER_OIDC_GROUP_AUTO_CREATE",
        flag="oidc-group-auto-create",
        yaml="enableGroupAutoCreate",
        default="false",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Regex Group Filter",
        description=(
            "Only groups whose names match this expression are taken over. It is applied after the "
            "mapping."
        ),
        type=Regexp(),
        json_path="oidc.group_regex_filter",
        env="CODER_OIDC_GROUP_REGEX_FILTER",
        flag="oidc-group-regex-filter",
        yaml="groupRegexFilter",
        default=".*",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC Allowed Groups",
        description="Only members of one of these groups may sign in; empty allows all.",
        type=TextList(),
        json_path="oidc.group_allow_list",
        env="CODER_OIDC_ALLOWED_GROUPS",
        flag="oidc-allowed-groups",
        yaml="groupAllowed",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC User Role Field",
        description=(
            "The claim that lists the roles of a person. Set it to let the provider decide who is, "
            "say, an owner."
        ),
        type=Text(),
        json_path="oidc.user_role_field",
        env="CODER_OIDC_USER_ROLE_FIELD",
        flag="oidc-user-role-field",
        yaml="userRoleField",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC User Role Mapping",
        description="A map from the provider's roles to lists of roles here.",
        type=TextListMap(),
        json_path="oidc.user_role_mapping",
        env="CODER_OIDC_USER_ROLE_MAPPING",
        flag="oidc-user-role-mapping",
        yaml="userRoleMapping",
        default="{}",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OIDC User Role Default",
        description=(
            "The roles that everybody gets who signs in, besides those that the provider names."
        ),
        type=TextList(),
        json_path="oidc.user_roles_default",
        env="CODER_OIDC_USER_ROLE_DEFAULT",
        flag="oidc-user-role-default",
        yaml="userRoleDefault",
        group=OIDC,
        remark=_NOT_OFFERED,
    ),
)
