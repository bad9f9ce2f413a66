"""The headers with which the pages of an ingest key report their violations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from csp.access.keys import PARAMETER, VERSION
from kernel.http.steps.hosts import is_local
from kernel.settings import settings

# A policy to begin with. It also covers images, styles and frames.
START = "default-src 'self'"
ENFORCED = "Content-Security-Policy"
REPORT_ONLY = f"{ENFORCED}-Report-Only"

NO_REPORT_TO = (
    "Browsers use report-to only if the page and coderapi have https URLs, and they ignore "
    "report-uri beside it. So the policy for http contains only report-uri."
)
MIXED = (
    "Browsers send no reports of an https page to an http URL. First set CODER_ACCESS_URL to an "
    "https URL."
)


def report_url(key: str) -> str:
    """Returns the URL to which pages with this key report."""
    return f"{settings.ACCESS_URL.rstrip('/')}{settings.CSP_REPORTS_PATH}?{PARAMETER}={key}"


def version_note(key: str) -> str:
    """Returns a sentence about the version in the URL."""
    url = f"{report_url(key)}&{VERSION}=1.4.0"
    return f"To compare the versions of your site, add its version to the URL in the headers: {url}"


type Header = tuple[str, str]


def report_headers(
    key: str, *, https: bool, policy: str = START, name: str = REPORT_ONLY
) -> list[Header]:
    """Returns the HTTP headers that a page needs, so that browsers report its violations.

    With `https`, the page and this service must have https URLs: browsers use report-to only then.
    But if a policy contains report-to, they ignore report-uri.
    """
    url = report_url(key)
    if not https:
        return [(name, f"{policy}; report-uri {url}")]
    return [
        ("Reporting-Endpoints", f'csp="{url}"'),
        (name, f"{policy}; report-to csp; report-uri {url}"),
    ]


class PageHeaders(NamedTuple):
    """The headers for the pages of some origins, and a sentence about them, or ""."""

    origins: Sequence[str]
    lines: Sequence[str]
    note: str


def headers_by_origin(key: str, origins: Sequence[str]) -> Iterator[PageHeaders]:
    """Yields each set of headers, with the origins whose pages need it."""
    notes = [note_for(origin) for origin in origins]
    for note in ("", NO_REPORT_TO, MIXED):
        some = [origin for origin, its in zip(origins, notes, strict=True) if its == note]
        if some:
            headers = report_headers(key, https=not note)
            yield PageHeaders(some, [f"{name}: {value}" for name, value in headers], note)


def note_for(origin: str) -> str:
    """Returns a sentence about the reports of this origin's pages, or ""."""
    url = urlsplit(settings.ACCESS_URL)
    if url.scheme == "https":
        return NO_REPORT_TO if origin.startswith("http:") else ""
    # Browsers trust URLs of their own machine.
    is_mixed = origin.startswith("https:") and not is_local(url.netloc)
    return MIXED if is_mixed else NO_REPORT_TO
