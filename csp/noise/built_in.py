"""The built-in noise rules, each with its reason and source.

A rule that is added here reaches existing databases through a migration that calls `add_built_in`.
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


# Category, targets, patterns, reason and source. Each pattern is a rule for each target.
_RULES = (
    (
        "extensions",
        "scheme",
        "chrome-extension moz-extension safari-extension ms-browser-extension",
        "Code of a browser extension, which runs in the pages of people who installed it.",
        STRIPPING,
    ),
    (
        "extensions",
        "scheme",
        "safari-web-extension",
        "Code of a Safari extension of the current kind.",
        SAFARI_EXTENSIONS,
    ),
    (
        "extensions",
        "scheme",
        "webkit-masked-url",
        "WebKit hides the address of an extension behind this scheme.",
        WEBKIT_MASKING,
    ),
    (
        "browser internals",
        "scheme",
        "about chrome chromenull chromeinvoke chromeinvokeimmediate resource res jar symres "
        "safari-resource opera ms-appx ms-appx-web",
        "The browser's own pages and resources; no site can load or serve them.",
        DROPBOX,
    ),
    (
        "browser internals",
        "document-scheme",
        "about file view-source",
        "The document is not a page of a web server, so no policy of a site applies to it.",
        DROPBOX,
    ),
    (
        "browser internals",
        "scheme document-scheme",
        f"chrome-error {ERROR_PAGE}",
        "Chrome's own page, shown in place of one that could not be loaded.",
        DROPBOX,
    ),
    (
        "in-app web views",
        "scheme",
        "mx mxjscall mxaddon-pkg webviewprogressproxy mbinit tmtbff wvjbscheme nativebaiduhd "
        "bdvideo android-webview",
        "An application on the phone talks to the page in its own web view through this scheme.",
        COLLECTOR,
    ),
    (
        "in-app web views",
        "user-agent",
        "FBAN/ FBAV/ FB_IAB/ Instagram Line/",
        "The application's own web view adds code to every page that it shows.",
        WTF,
    ),
    (
        "security software",
        "host",
        "*.kaspersky-labs.com injections.adguard.com gateway.zscalertwo.net",
        "Security software on the client, or a proxy before it, adds a script to every page.",
        DROPBOX,
    ),
    (
        "security software",
        "path",
        "/netdefender/",
        "Bitdefender serves its script as if from the page's own host.",
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
        "The browser translates the page. A site may itself use other files of this host.",
        TRANSLATORS,
    ),
    (
        "ad injectors",
        "host",
        "*.superfish.com *.metrext.com *.tlscdn.com *.image2play.com *.ciuvo.com "
        "*.netcheckcdn.xyz savingsslider-a.akamaihd.net cdncache-a.akamaihd.net "
        "middlerush-a.akamaihd.net resultshub-a.akamaihd.net",
        "Adware of the years 2015 to 2018. Disabled, because hosts change hands.",
        DROPBOX,
    ),
)
# An operator has to enable these rules.
_OFF = "ad injectors"
BUILT_IN = tuple(
    BuiltInRule(category, target, pattern, reason, source, enabled=category != _OFF)
    for category, targets, patterns, reason, source in _RULES
    for target in targets.split()
    for pattern in patterns.split()
)


def add_built_in(model: Any, rules: Iterable[BuiltInRule] = BUILT_IN) -> None:
    """Adds the rules whose name and pattern are new. Existing rules stay unchanged."""
    model.objects.bulk_create(
        [model(**asdict(rule), name=rule.name, built_in=True) for rule in rules],
        ignore_conflicts=True,
    )
