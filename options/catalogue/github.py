"""Sign-in with GitHub."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import GITHUB
from options.option import Option
from options.values import Bool, Text, TextList

_github_option = partial(Option, group=GITHUB)

GITHUB_OPTIONS = (
    _github_option(
        "OAuth2 GitHub Client ID",
        "The client ID of the GitHub application for sign-in. Set it and the secret to offer "
        "sign-in with GitHub.",
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
        "Let users sign in with GitHub by entering a code on a second device. Use it if GitHub "
        "cannot redirect to the access URL.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_DEVICE_FLOW",
        default="false",
    ),
    _github_option(
        "OAuth2 GitHub Default Provider Enable",
        "Offer sign-in through a GitHub application of the Coder company, until you configure your "
        "own.",
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
        "Create an account at a user's first sign-in with GitHub. Leave it off if you create "
        "accounts yourself.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_SIGNUPS",
    ),
    _github_option(
        "OAuth2 GitHub Allow Everyone",
        "Let every GitHub user sign in. You cannot combine it with allowed organizations or teams.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_EVERYONE",
    ),
    _github_option(
        "OAuth2 GitHub Enterprise Base URL",
        "The URL of a GitHub Enterprise server that replaces github.com.",
        Text(),
        env="CODER_OAUTH2_GITHUB_ENTERPRISE_BASE_URL",
    ),
)
