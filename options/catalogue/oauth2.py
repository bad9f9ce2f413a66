"""Sign-in with GitHub."""

from __future__ import annotations

from options.catalogue.groups import OAUTH2_GITHUB
from options.option import Option
from options.values import Bool, Text, TextList

_NOT_OFFERED = "Sign-in with GitHub is not offered here."

OAUTH2_OPTIONS = (
    Option(
        name="OAuth2 GitHub Client ID",
        description=(
            "The client id of the GitHub application that people sign in with. Set it, and the "
            "secret, to offer sign-in with GitHub."
        ),
        type=Text(),
        json_path="oauth2.github.client_id",
        env="CODER_OAUTH2_GITHUB_CLIENT_ID",
        flag="oauth2-github-client-id",
        yaml="clientID",
        group=OAUTH2_GITHUB,
        remark="Sign-in with GitHub is not offered here; clients are told that it is off.",
    ),
    Option(
        name="OAuth2 GitHub Client Secret",
        description="The secret of the GitHub application that people sign in with.",
        type=Text(),
        json_path="oauth2.github.client_secret",
        env="CODER_OAUTH2_GITHUB_CLIENT_SECRET",
        flag="oauth2-github-client-secret",
        group=OAUTH2_GITHUB,
        secret=True,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Device Flow",
        description=(
            "Let people sign in with GitHub by typing a code on a second device. Useful when "
            "GitHub cannot redirect to the access URL."
        ),
        type=Bool(),
        json_path="oauth2.github.device_flow",
        env="CODER_OAUTH2_GITHUB_DEVICE_FLOW",
        flag="oauth2-github-device-flow",
        yaml="deviceFlow",
        default="false",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Default Provider Enable",
        description=(
            "Offer sign-in with GitHub through an application that the makers of Coder run, for as "
            "long as you have configured none of your own."
        ),
        type=Bool(),
        json_path="oauth2.github.default_provider_enable",
        env="CODER_OAUTH2_GITHUB_DEFAULT_PROVIDER_ENABLE",
        flag="oauth2-github-default-provider-enable",
        yaml="defaultProviderEnable",
        default="true",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Allowed Orgs",
        description="The GitHub organisations whose members may sign in.",
        type=TextList(),
        json_path="oauth2.github.allowed_orgs",
        env="CODER_OAUTH2_GITHUB_ALLOWED_ORGS",
        flag="oauth2-github-allowed-orgs",
        yaml="allowedOrgs",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Allowed Teams",
        description="The GitHub teams whose members may sign in, each as organisation/team.",
        type=TextList(),
        json_path="oauth2.github.allowed_teams",
        env="CODER_OAUTH2_GITHUB_ALLOWED_TEAMS",
        flag="oauth2-github-allowed-teams",
        yaml="allowedTeams",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Allow Signups",
        description=(
            "Make an account for somebody who signs in with GitHub for the first time. Leave it "
            "off if accounts are made by hand."
        ),
        type=Bool(),
        json_path="oauth2.github.allow_signups",
        env="CODER_OAUTH2_GITHUB_ALLOW_SIGNUPS",
        flag="oauth2-github-allow-signups",
        yaml="allowSignups",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Allow Everyone",
        description=(
            "Let anybody with a GitHub account sign in, whatever organisation they belong to. It "
            "cannot stand beside allowed organisations or teams."
        ),
        type=Bool(),
        json_path="oauth2.github.allow_everyone",
        env="CODER_OAUTH2_GITHUB_ALLOW_EVERYONE",
        flag="oauth2-github-allow-everyone",
        yaml="allowEveryone",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
    Option(
        name="OAuth2 GitHub Enterprise Base URL",
        description="The address of a GitHub Enterprise server to use instead of github.com.",
        type=Text(),
        json_path="oauth2.github.enterprise_base_url",
        env="CODER_OAUTH2_GITHUB_ENTERPRISE_BASE_URL",
        flag="oauth2-github-enterprise-base-url",
        yaml="enterpriseBaseURL",
        group=OAUTH2_GITHUB,
        remark=_NOT_OFFERED,
    ),
)
