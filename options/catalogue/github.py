"""Sign-in with GitHub."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import GITHUB
from options.option import Option
from options.values.lists import TextList
from options.values.scalars import Bool, Text

_github_option = partial(Option, group=GITHUB)

GITHUB_OPTIONS = (
    _github_option(
        "OAuth2 GitHub Client ID",
        "The client ID of the GitHub application for sign-in. Sign-in with GitHub also requires "
        "the client secret.",
        Text(),
        env="CODER_OAUTH2_GITHUB_CLIENT_ID",
    ),
    _github_option(
        "OAuth2 GitHub Client Secret",
        "The client secret of the GitHub application for sign-in.",
        Text(),
        env="CODER_OAUTH2_GITHUB_CLIENT_SECRET",
        secret=True,
    ),
    _github_option(
        "OAuth2 GitHub Device Flow",
        "Let users sign in by entering a code on a page of GitHub. Enable it if GitHub cannot "
        "redirect browsers to the access URL.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_DEVICE_FLOW",
        default="false",
    ),
    _github_option(
        "OAuth2 GitHub Default Provider Enable",
        "Offer sign-in through the GitHub application of the company Coder, if you have not "
        "configured your own application.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_DEFAULT_PROVIDER_ENABLE",
        default="true",
    ),
    _github_option(
        "OAuth2 GitHub Allowed Orgs",
        "The GitHub organizations whose members may sign in.",
        TextList(),
        env="CODER_OAUTH2_GITHUB_ALLOWED_ORGS",
    ),
    _github_option(
        "OAuth2 GitHub Allowed Teams",
        "The GitHub teams whose members may sign in, each as organization/team.",
        TextList(),
        env="CODER_OAUTH2_GITHUB_ALLOWED_TEAMS",
    ),
    _github_option(
        "OAuth2 GitHub Allow Signups",
        "Create an account when a user signs in with GitHub for the first time. Do not enable it "
        "if administrators create all accounts.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_SIGNUPS",
    ),
    _github_option(
        "OAuth2 GitHub Allow Everyone",
        "Let every GitHub user sign in. You cannot use it together with allowed organizations or "
        "teams.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_EVERYONE",
    ),
    _github_option(
        "OAuth2 GitHub Enterprise Base URL",
        "The URL of a GitHub Enterprise server. It replaces github.com for sign-in.",
        Text(),
        env="CODER_OAUTH2_GITHUB_ENTERPRISE_BASE_URL",
    ),
)
