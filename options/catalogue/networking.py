"""How the server is reached."""

from __future__ import annotations

from options.catalogue.groups import NETWORKING
from options.option import Option
from options.values import URL, Address, Bool, Choice, Text, TextList
from options.values.rules import NETWORK, WILDCARD_HOST

NETWORKING_OPTIONS = (
    Option(
        name="Access URL",
        description=(
            "The address under which people and workspaces reach this deployment, with http or "
            "https. Set it before anybody signs in from another machine; without it the address "
            "that the server listens on is used."
        ),
        type=URL(schemes=("http", "https")),
        json_path="access_url",
        env="CODER_ACCESS_URL",
        flag="access-url",
        yaml="accessURL",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Wildcard Access URL",
        description=(
            "The pattern of host names under which workspace applications are served, such as "
            "*.example.com. Set it when applications need a host name of their own, with a DNS "
            "record to match."
        ),
        type=Text(WILDCARD_HOST),
        json_path="wildcard_access_url",
        env="CODER_WILDCARD_ACCESS_URL",
        flag="wildcard-access-url",
        yaml="wildcardAccessURL",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Docs URL",
        description=(
            "Where links to documentation lead. Change it when you keep an edited or offline copy "
            "of the manual."
        ),
        type=URL(),
        json_path="docs_url",
        env="CODER_DOCS_URL",
        flag="docs-url",
        yaml="docsURL",
        default="https://coder.com/docs",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Redirect to Access URL",
        description=(
            "Send browsers that arrive under another host name on to the access URL. Switch it on "
            "when several names lead here and one should win."
        ),
        type=Bool(),
        json_path="redirect_to_access_url",
        env="CODER_REDIRECT_TO_ACCESS_URL",
        flag="redirect-to-access-url",
        yaml="redirectToAccessURL",
        group=NETWORKING,
        obeyed=True,
    ),
    Option(
        name="Address",
        description=(
            "The old way to set the address of whichever listener is in use. Set the HTTP address "
            "and the TLS address instead."
        ),
        type=Address(),
        json_path="address",
        env="CODER_ADDRESS",
        flag="address",
        flag_shorthand="a",
        group=NETWORKING,
        hidden=True,
        external_workspace_proxies=True,
        use_instead=("HTTP Address", "TLS Address"),
        obeyed=True,
    ),
    Option(
        name="Proxy Trusted Headers",
        description=(
            "The headers in which trusted proxies pass on the client's address, such as "
            "X-Forwarded-For. Set it together with the trusted origins when a proxy stands in "
            "front."
        ),
        type=TextList(),
        json_path="proxy_trusted_headers",
        env="CODER_PROXY_TRUSTED_HEADERS",
        flag="proxy-trusted-headers",
        yaml="proxyTrustedHeaders",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Proxy Trusted Origins",
        description=(
            "The addresses or networks of proxies whose headers are believed, such as 10.0.0.0/8. "
            "Never name a network from which clients connect directly."
        ),
        type=TextList(NETWORK),
        json_path="proxy_trusted_origins",
        env="CODER_PROXY_TRUSTED_ORIGINS",
        flag="proxy-trusted-origins",
        yaml="proxyTrustedOrigins",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Secure Auth Cookie",
        description=(
            "Mark the session cookie so that browsers send it over HTTPS only. Switch it on "
            "wherever people use HTTPS."
        ),
        type=Bool(),
        json_path="http_cookies.secure_auth_cookie",
        env="CODER_SECURE_AUTH_COOKIE",
        flag="secure-auth-cookie",
        yaml="secureAuthCookie",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="SameSite Auth Cookie",
        description=(
            "Whether browsers send the session cookie along with requests that other sites cause: "
            "lax or none. Choose none only if the dashboard is embedded elsewhere."
        ),
        type=Choice(("lax", "none")),
        json_path="http_cookies.same_site",
        env="CODER_SAMESITE_AUTH_COOKIE",
        flag="samesite-auth-cookie",
        yaml="sameSiteAuthCookie",
        default="lax",
        group=NETWORKING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Browser Only",
        description=(
            "Let people reach workspaces through the browser alone, not through SSH or desktop "
            "editors."
        ),
        type=Bool(),
        json_path="browser_only",
        env="CODER_BROWSER_ONLY",
        flag="browser-only",
        yaml="browserOnly",
        group=NETWORKING,
        enterprise=True,
    ),
)
