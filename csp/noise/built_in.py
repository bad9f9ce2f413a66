"""The built-in noise rules, each with its reason and source.

To add a rule to existing databases too, write a migration that calls `add_built_in`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from csp.scrubbing.uris import ERROR_PAGE

STRIPPING = "https://www.w3.org/TR/CSP3/#strip-url-for-use-in-reports"
DROPBOX = "https://dropbox.tech/security/on-csp-reporting-and-filtering"
SAFARI_EXTENSIONS = "https://github.com/getsentry/sentry/issues/74828"
WEBKIT_MASKING = "https://github.com/WebKit/WebKit/pull/63897"
COLLECTOR = "https://github.com/jacobbednarz/go-csp-collector"
WTF = "https://github.com/nico3333fr/CSP-useful/tree/master/csp-wtf"
TRANSLATORS = "https://github.com/bikeindex/bike_index/pull/3700"


@dataclass(frozen=True, slots=True)
class BuiltInRule:
    category: str
    target: str
    pattern: str
    reason: str
    source: str
    enabled: bool

    @property
    def name(self) -> str:
        cleaned = "".join(c if c.isalnum() else "-" for c in self.pattern.lower())
        return f"{self.target}-{cleaned.strip('-')}"[:64]


# Each entry has a category, targets, patterns, a reason and a source. Each combination of a target
# and a pattern is one rule.
_RULES = (
    (
        "extensions",
        "scheme",
        "chrome-extension moz-extension safari-extension ms-browser-extension",
        "Code of a browser extension. An extension runs on pages of any site.",
        STRIPPING,
    ),
    (
        "extensions",
        "scheme",
        "safari-web-extension",
        "Code of a Safari web extension, the current type of Safari extensions.",
        SAFARI_EXTENSIONS,
    ),
    (
        "extensions",
        "scheme",
        "webkit-masked-url",
        "WebKit replaces the URL of an extension with this scheme.",
        WEBKIT_MASKING,
    ),
    (
        "browser internals",
        "scheme",
        "about chrome chromenull chromeinvoke chromeinvokeimmediate resource res jar symres "
        "safari-resource opera ms-appx ms-appx-web",
        "Internal pages and resources of the browser. No site can load or serve them.",
        DROPBOX,
    ),
    (
        "browser internals",
        "document-scheme",
        "about file view-source",
        "The document does not come from a web server, so no site's policy applies to it.",
        DROPBOX,
    ),
    (
        "browser internals",
        "scheme document-scheme",
        f"chrome-error {ERROR_PAGE}",
        "The error page that Chrome shows if a page cannot be loaded.",
        DROPBOX,
    ),
    (
        "in-app web views",
        "scheme",
        "mx mxjscall mxaddon-pkg webviewprogressproxy mbinit tmtbff wvjbscheme nativebaiduhd "
        "bdvideo android-webview",
        "A phone app uses this scheme to exchange messages with the page in its web view.",
        COLLECTOR,
    ),
    (
        "in-app web views",
        "user-agent",
        "FBAN/ FBAV/ FB_IAB/ Instagram Line/",
        "The web view of this app adds code to every page that it shows.",
        WTF,
    ),
    (
        "security software",
        "host",
        "*.kaspersky-labs.com injections.adguard.com gateway.zscalertwo.net",
        "Security software on the client, or a proxy in its network, adds a script to every page.",
        DROPBOX,
    ),
    (
        "security software",
        "path",
        "/netdefender/",
        "Bitdefender adds a script to the page, with a URL on the page's own host.",
        WTF,
    ),
    (
        "translators",
        "host",
        "translate.google.com translate.googleapis.com *.translate.goog",
        "The browser translates the page, with styles and scripts from this host.",
        TRANSLATORS,
    ),
    (
        "translators",
        "path",
        "www.gstatic.com/_/translate_http/",
        "The browser translates the page with files below this path. Sites may use other files of "
        "the host.",
        TRANSLATORS,
    ),
    (
        "ad injectors",
        "host",
        "*.superfish.com *.metrext.com *.tlscdn.com *.image2play.com *.ciuvo.com "
        "*.netcheckcdn.xyz savingsslider-a.akamaihd.net cdncache-a.akamaihd.net "
        "middlerush-a.akamaihd.net resultshub-a.akamaihd.net",
        "Adware from 2015 to 2018. Disabled by default, because the hosts may have new owners.",
        DROPBOX,
    ),
)
# The rules of this category are disabled by default.
_OFF = "ad injectors"
BUILT_IN = tuple(
    BuiltInRule(category, target, pattern, reason, source, enabled=category != _OFF)
    for category, targets, patterns, reason, source in _RULES
    for target in targets.split()
    for pattern in patterns.split()
)

# The schemes of the URLs of browser extensions.
EXTENSIONS = frozenset(rule.pattern for rule in BUILT_IN if rule.category == "extensions")


def add_built_in(model: Any, rules: Iterable[BuiltInRule] = BUILT_IN) -> None:
    """Adds the rules whose name and pattern do not exist yet. Does not change existing rules."""
    model.objects.bulk_create(
        [model(**asdict(rule), name=rule.name, built_in=True) for rule in rules],
        ignore_conflicts=True,
    )
