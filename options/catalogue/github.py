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
        "The client id of the GitHub application that people sign in with. Set it, and the secret, "
        "to offer sign-in with GitHub.",
        Text(),
        env="CODER_OAUTH2_GITHUB_CLIENT_ID",
    ),
    _github_option(
        "OAuth2 GitHub Client Secret",
        "The secret of the GitHub application that people sign in with.",
        Text(),
        env="CODER_OAUTH2_GITHUB_CLIENT_SECRET",
        secret=True,
    ),
    _github_option(
        "OAuth2 GitHub Device Flow",
        "Let people sign in with GitHub by typing a code on a second device. Useful when GitHub "
        "cannot redirect to the access URL.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_DEVICE_FLOW",
        default="false",
    ),
    _github_option(
        "OAuth2 GitHub Default Provider Enable",
        "Offer sign-in with GitHub through an application that the makers of Coder run, for as "
        "long as you have configured none of your own.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_DEFAULT_PROVIDER_ENABLE",
        default="true",
    ),
    _github_option(
        "OAuth2 GitHub Allowed Orgs",
        "The GitHub organisations whose members may sign in.",
        TextList(),
        env="CODER_OAUTH2_GITHUB_ALLOWED_ORGS",
    ),
    _github_option(
        "OAuth2 GitHub Allowed Teams",
        "The GitHub teams whose members may sign in, each as organisation/team.",
        TextList(),
        env="CODER_OAUTH2_GITHUB_ALLOWED_TEAMS",
    ),
    _github_option(
        "OAuth2 GitHub Allow Signups",
        "Make an account for somebody who signs in with GitHub for the first time. Leave it off if "
        "accounts are made by hand.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_SIGNUPS",
    ),
    _github_option(
        "OAuth2 GitHub Allow Everyone",
        "Let anybody with a GitHub account sign in, whatever organisation they belong to. It "
        "cannot stand beside allowed organisations or teams.",
        Bool(),
        env="CODER_OAUTH2_GITHUB_ALLOW_EVERYONE",
    ),
    _github_option(
        "OAuth2 GitHub Enterprise Base URL",
        "The address of a GitHub Enterprise server to use instead of github.com.",
        Text(),
        env="CODER_OAUTH2_GITHUB_ENTERPRISE_BASE_URL",
    ),
)
