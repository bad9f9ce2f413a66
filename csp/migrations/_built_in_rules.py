"""The built-in noise rules of the first release, each with its reason and a page about it.

Do not change them. To add a rule, write a migration that calls `add_built_in` with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

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
    reference_url: str

    @property
    def name(self) -> str:
        cleaned = "".join(c if c.isalnum() else "-" for c in self.pattern.lower())
        return f"{self.target}-{cleaned.strip('-')}"[:64]


# Each entry has a category, targets and a page; a reason; and patterns. Each combination of a
# target and a pattern is one rule.
_RULES = (
    (
        ("extensions", "scheme", STRIPPING),
        "Code of a browser extension. An extension runs on pages of any site.",
        "chrome-extension moz-extension safari-extension ms-browser-extension",
    ),
    (
        ("extensions", "scheme", SAFARI_EXTENSIONS),
        "Code of a Safari web extension, the current type of Safari extensions.",
        "safari-web-extension",
    ),
    (
        ("extensions", "scheme", WEBKIT_MASKING),
        "WebKit replaces the URL of an extension with this scheme.",
        "webkit-masked-url",
    ),
    (
        ("browser internals", "scheme", DROPBOX),
        "Internal pages and resources of the browser. No site can load or serve them.",
        "about chrome chromenull chromeinvoke chromeinvokeimmediate resource res jar symres "
        "safari-resource opera ms-appx ms-appx-web",
    ),
    (
        ("browser internals", "document-scheme", DROPBOX),
        "The document does not come from a web server, so no site's policy applies to it.",
        "about file view-source",
    ),
    (
        ("browser internals", "scheme document-scheme", DROPBOX),
        "The error page that Chrome shows if a page cannot be loaded.",
        "chrome-error data:text/html,chromewebdata",
    ),
    (
        ("in-app web views", "scheme", COLLECTOR),
        "A phone app uses this scheme to exchange messages with the page in its web view.",
        "mx mxjscall mxaddon-pkg webviewprogressproxy mbinit tmtbff wvjbscheme nativebaiduhd "
        "bdvideo android-webview",
    ),
    (
        ("in-app web views", "user-agent", WTF),
        "The web view of this app adds code to every page that it shows.",
        "FBAN/ FBAV/ FB_IAB/ Instagram Line/",
    ),
    (
        ("security software", "host", DROPBOX),
        "Security software on the client, or a proxy in its network, adds a script to every page.",
        "*.kaspersky-labs.com injections.adguard.com gateway.zscalertwo.net",
    ),
    (
        ("security software", "path", WTF),
        "Bitdefender adds a script to the page, with a URL on the page's own host.",
        "/netdefender/",
    ),
    (
        ("translators", "host", TRANSLATORS),
        "The browser translates the page, with styles and scripts from this host.",
        "translate.google.com translate.googleapis.com *.translate.goog",
    ),
    (
        ("translators", "path", TRANSLATORS),
        "The browser translates the page with files below this path. Sites may use other files of "
        "the host.",
        "www.gstatic.com/_/translate_http/",
    ),
)
BUILT_IN = tuple(
    BuiltInRule(category, target, pattern, reason, reference_url)
    for (category, targets, reference_url), reason, patterns in _RULES
    for target in targets.split()
    for pattern in patterns.split()
)


def add_built_in(model: Any, rules: Iterable[BuiltInRule] = BUILT_IN) -> None:
    """Adds the rules whose name and pattern do not exist yet. Does not change existing rules."""
    model.objects.bulk_create(
        [model(**asdict(rule), name=rule.name, is_built_in=True) for rule in rules],
        ignore_conflicts=True,
    )
