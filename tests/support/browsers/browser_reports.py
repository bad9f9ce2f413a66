"""Reports with fifteen causes, in the forms in which Chromium, Firefox and Safari send them.

The forms differ by browser. Chromium and Firefox send `report-uri` objects with kebab-case names
and arrays of the Reporting API. Safari sends single objects, without a disposition in the old form.
Old versions name the directive of a list of sources (`script-src 'self' …`) instead of an element's
directive. A scheme may come alone (`data`) or with a part of the URL (`data:image/png;…`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

POLICY = "default-src 'self'; script-src 'self'; style-src 'self'; report-uri /api/v2/csp/reports"
SITE = "https://coder.example.com"
PAGES = ("/workspaces?filter=owner:me", "/@{name}/ws-{n}", "/@{name}/ws-{n}/terminal", "/templates")
CHROMIUM = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{n}.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"


class Cause(NamedTuple):
    """A cause: the directive of its group, the blocked URLs, and the browsers that report it.

    `element` is the directive in current browsers, if it differs from the group's directive.
    """

    directive: str
    blocked: tuple[str, ...]
    element: str = ""
    browsers: str = "chromium firefox safari"


CAUSES = (
    Cause("script-src", ("https://cdn.example.net/lib/{n}.js?v={n}",), "script-src-elem"),
    Cause("style-src", ("https://fonts.example.org/css2?family={n}",), "style-src-elem"),
    Cause("img-src", ("https://img.example.net/{n}.png", "https://img.example.net:443/a/{n}.gif")),
    Cause("font-src", ("https://fonts.example.net/{n}.woff2#a",)),
    Cause("connect-src", ("https://api.example.net/v1/{n}?token=abc{n}",)),
    Cause("connect-src", ("wss://live.example.net/socket/{n}",)),
    Cause("frame-src", ("https://video.example.net/embed/{n}",)),
    Cause("script-src-elem", ("inline",)),
    Cause("script-src-attr", ("inline",)),
    Cause("style-src-attr", ("inline",)),
    Cause("script-src", ("eval",)),
    Cause("img-src", ("data", "data:image/png;base64,iVBORw0KGgo")),
    Cause("worker-src", ("blob", f"blob:{SITE}/0a1b2c{{n}}")),
    Cause(
        "script-src",
        ("chrome-extension", "chrome-extension://abcdefghijklmnop/inject.js"),
        "script-src-elem",
        browsers="chromium",
    ),
    Cause("style-src", ("moz-extension", "moz-extension://0b1c/a.css"), browsers="firefox"),
)


def reports(number: int) -> list[Any]:
    """Returns request bodies with one report each. Every fifteenth has the same cause."""
    chance = random.Random(number)  # noqa: S311 - the same reports in each run
    return [_report(CAUSES[n % len(CAUSES)], chance) for n in range(number)]


def _report(cause: Cause, chance: random.Random) -> Any:
    browser = chance.choice(cause.browsers.split())
    n = chance.randrange(1, 500)
    values = {
        "page": SITE + chance.choice(PAGES).format(name=f"user{n % 40}", n=n % 9),
        "blocked": chance.choice(cause.blocked).format(n=n),
        "directive": chance.choice((cause.element or cause.directive, cause.directive)),
        "source": f"{SITE}/assets/index-{n % 5}.js",
        "disposition": chance.choice(("enforce", "report")),
        "line": chance.choice((n, str(n), None)),
        "agent": (FIREFOX if browser == "firefox" else CHROMIUM).format(n=140 + n % 10),
    }
    return chance.choice(_FORMS[browser])(values)


def _report_uri(values: dict[str, Any]) -> dict[str, Any]:
    report = _old(values)
    return {"csp-report": report | {"disposition": values["disposition"], "status-code": 200}}


def _firefox(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a report of Firefox 153, which names no source file for a blocked URL."""
    report = _report_uri(values)["csp-report"] | {"column-number": 1}
    if ":" in report["blocked-uri"]:
        del report["source-file"], report["line-number"]
    return {"csp-report": report}


def _old_report_uri(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a report of a browser with CSP 2, which names the whole violated directive."""
    report = _old(values)
    del report["effective-directive"]
    report["violated-directive"] = f"{values['directive']} 'self' https://*.example.com"
    return {"csp-report": report}


def _old(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "document-uri": values["page"],
        "referrer": f"{SITE}/login?next={values['page']}",
        "violated-directive": values["directive"],
        "effective-directive": values["directive"],
        "original-policy": POLICY,
        "blocked-uri": values["blocked"],
        "source-file": values["source"],
        "line-number": values["line"],
    }


def _new(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "documentURL": values["page"],
        "blockedURL": values["blocked"],
        "effectiveDirective": values["directive"],
        "originalPolicy": POLICY,
        "sourceFile": values["source"],
        "sample": "",
        "disposition": values["disposition"],
        "statusCode": 200,
        "lineNumber": values["line"],
        "columnNumber": 7,
    }


def _reporting_api(values: dict[str, Any]) -> list[Any]:
    envelope = {"age": 420, "user_agent": values["agent"]}
    return [{"type": "csp-violation", "url": values["page"], "body": _new(values)} | envelope]


def _webkit(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "csp-violation", "url": values["page"], "body": _new(values)}


def _webkit_report_uri(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "csp-violation", "url": values["page"], "csp-report": _old(values)}


_FORMS: dict[str, tuple[Callable[[dict[str, Any]], Any], ...]] = {
    "chromium": (_report_uri, _old_report_uri, _reporting_api),
    "firefox": (_firefox, _old_report_uri, _reporting_api),
    "safari": (_webkit, _webkit_report_uri),
}
