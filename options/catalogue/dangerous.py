"""Switches that give up protection."""

from __future__ import annotations

from options.catalogue.groups import DANGEROUS
from options.option import Option
from options.values import Bool

DANGEROUS_OPTIONS = (
    Option(
        name="DANGEROUS: Allow all CORS requests",
        description=(
            "Let scripts of any site call the API with the visitor's session. Only for development "
            "on your own machine."
        ),
        type=Bool(),
        json_path="dangerous.allow_all_cors",
        env="CODER_DANGEROUS_ALLOW_CORS_REQUESTS",
        flag="dangerous-allow-cors-requests",
        group=DANGEROUS,
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="DANGEROUS: Allow Path App Sharing",
        description=(
            "Allow the sharing of workspace applications that live under a path of the main site. "
            "Such an application can act in the name of whoever opens it."
        ),
        type=Bool(),
        json_path="dangerous.allow_path_app_sharing",
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SHARING",
        flag="dangerous-allow-path-app-sharing",
        group=DANGEROUS,
    ),
    Option(
        name="DANGEROUS: Allow Site Owners to Access Path Apps",
        description=(
            "Let owners of the deployment open other people's applications under a path of the "
            "main site. Such an application can act with the owner's rights."
        ),
        type=Bool(),
        json_path="dangerous.allow_path_app_site_owner_access",
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS",
        flag="dangerous-allow-path-app-site-owner-access",
        group=DANGEROUS,
    ),
)
