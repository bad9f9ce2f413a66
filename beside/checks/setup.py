"""Checks Coder, this service, and the proxy in front of both.

Each check sends the requests that a browser or this service sends, and never a secret to the proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import orjson
from django.conf import settings

from beside.checks import Finding, coder_options, database
from beside.checks.coder_options import TRUSTED_HEADERS, TRUSTED_ORIGINS
from beside.client import OTHER_FORM, SECONDS, CoderUnavailableError
from beside.configuration.documents import DOCUMENTS
from beside.token_policy import service_token
from jobs.registry import JobFailedError
from kernel.admin import State
from kernel.coder.releases import NEWEST, OLDEST, Release
from kernel.http import CODER_API, OWN_API
from kernel.http.headers import BUILD_VERSION, VERSION
from kernel.outgoing import Outgoing, OutgoingError, Reply, redacted, send
from kernel.text.durations import to_timedelta
from kernel.text.humanize import ago
from tokens.lifetimes import SOON
from tokens.verification.extraction import COOKIE

# The job that calls `check_token`.
JOB = "check_coder_token"
MAX_CLOCK_DIFFERENCE_SECONDS = 30
CSRF_COOKIE = "csrf_token"
# A path that every proxy must send to Coder.
ME = f"{CODER_API}/users/me"
# Part of the build version of this service, and of no release of Coder.
OUR_BUILD = "+coderapi."


def findings(proxy_url: str, *, now: datetime) -> Iterator[Finding]:
    """Yields the results of all checks. `proxy_url` is the URL that browsers use."""
    if settings.CODER_DATABASE_URL:
        yield from database.findings(now)
    elif not settings.CODER_URL:
        change = "CODERAPI_CODER_URL=http://127.0.0.1:3000"
        yield Finding.failed("settings", "The URL of Coder is not set.", change)
    if not settings.CODER_URL:
        return
    yield from _settings()
    yield from coder_findings(now)
    if settings.CODER_TOKEN:
        token = token_finding(now)
        yield token
        if token.state is not State.BAD:
            yield from coder_options.findings()
    yield from _proxy(proxy_url.rstrip("/"))


def _settings() -> Iterator[Finding]:
    if settings.PAGES_PATH == "/":
        text = "The admin and Coder's dashboard would use the same path."
        yield Finding.failed("settings", text, "CODERAPI_PAGES_PATH=/coderapi/")
    if not settings.TRUSTED_PROXY_HEADERS or not settings.TRUSTED_PROXY_ORIGINS:
        text = "All clients have the address of the proxy, and share its rate limits."
        change = f"{TRUSTED_HEADERS} {TRUSTED_ORIGINS}"
        yield Finding("settings", State.NOTICE, text, change)
    if settings.ACCESS_URL.startswith("https://") and not settings.SECURE_COOKIES:
        text = "Browsers would also send the cookies of the admin over plain HTTP."
        yield Finding("settings", State.NOTICE, text, "CODER_SECURE_AUTH_COOKIE=true")


# --- Coder ------------------------------------------------------------------------------------


def coder_findings(now: datetime, *, seconds: float = SECONDS) -> Iterator[Finding]:
    """Yields the results of the checks of Coder alone. Sends one request to Coder."""
    where = redacted(settings.CODER_URL)
    change = "CODERAPI_CODER_URL=the address on which coderd listens"
    try:
        reply = _get(f"{settings.CODER_URL}{CODER_API}/buildinfo", seconds=seconds)
        if 300 <= reply.status < 400:
            change = f"CODERAPI_CODER_URL={settings.ACCESS_URL}"
        version, dashboard = _build(reply)
    except (OutgoingError, *OTHER_FORM) as error:
        reason = str(error) if isinstance(error, OutgoingError) else f"{where} is not Coder"
        yield Finding.failed("Coder", reason, change)
        return
    yield Finding.ok("Coder", f"{where} answers.")
    yield _version(version)
    yield _clock(reply, now)
    if settings.USER_SOURCE == "coder":
        yield _host(dashboard)


def _build(reply: Reply) -> tuple[Release, str]:
    """Returns Coder's version and the URL of its dashboard.

    Raises: OutgoingError, or an error of OTHER_FORM, if the response is not one of Coder.
    """
    if _is_ours(reply):
        raise OutgoingError("CODERAPI_CODER_URL is the URL of coderapi itself.")
    if reply.status != HTTPStatus.OK:
        raise OutgoingError(f"{redacted(settings.CODER_URL)} returned status {reply.status}.")
    info = orjson.loads(reply.body)
    return Release.parse(info["version"]), str(info["dashboard_url"])


def _version(release: Release) -> Finding:
    if release.is_from_source:
        text = f"Coder {release} is a build from source. It counts as the newest release, {NEWEST}."
        return Finding("version", State.NOTICE, text, "Use a release of Coder")
    if not release.is_at_least(OLDEST):
        text = f"Coder {release} is too old."
        return Finding.failed("version", text, f"Upgrade Coder to {OLDEST} or newer")
    if release.is_newer_than(NEWEST):
        text = f"Coder {release} is newer than {NEWEST}, the newest release that was tested."
        return Finding("version", State.NOTICE, text, "Upgrade coderapi")
    return Finding.ok("version", f"Coder {release} is supported.")


def _clock(reply: Reply, now: datetime) -> Finding:
    try:
        sent_at = parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return Finding("clock", State.NOTICE, "Coder sends no date.", "Compare the clocks")
    seconds = round((now - sent_at).total_seconds())
    if abs(seconds) > MAX_CLOCK_DIFFERENCE_SECONDS:
        text = f"The clocks of Coder and coderapi differ by {abs(seconds)} s."
        return Finding.failed("clock", text, "Synchronize both hosts with NTP")
    return Finding.ok("clock", "The clocks of Coder and coderapi agree.")


def _host(dashboard: str) -> Finding:
    """Compares the hosts. Browsers send Coder's cookies only to the host that set them."""
    theirs, ours = urlsplit(dashboard).netloc, urlsplit(settings.ACCESS_URL).netloc
    if theirs.rpartition("@")[2] != ours:
        text = f"Coder's access URL has another host than {settings.ACCESS_URL}."
        return Finding.failed("access URL", text, f"CODER_ACCESS_URL={redacted(dashboard)}")
    return Finding.ok("access URL", f"Coder and coderapi both use {settings.ACCESS_URL}.")


def token_finding(now: datetime) -> Finding:
    """Checks CODERAPI_CODER_TOKEN. Warns before the token expires."""
    name = "CODERAPI_CODER_TOKEN"
    change = (
        f"coder tokens create --name coderapi-{now:%Y-%m-%d} --lifetime 720h (as an owner), then "
        f"set {name} and restart coderapi"
    )
    try:
        token = service_token(now)
    except CoderUnavailableError as error:
        return Finding.failed(name, str(error), f"If Coder rejects the token: {change}")
    left, end = token.expires_at - now, f"{token.expires_at:%Y-%m-%d %H:%M}"
    text = f"The token of an owner expires {ago(token.expires_at, now=now)}, on {end} UTC."
    # By default, Coder limits the tokens of owners to a week.
    if left < min(SOON, to_timedelta(token.lifetime_ns) / 4):
        return Finding(name, State.NOTICE, text, change)
    return Finding.ok(name, text)


def check_token(now: datetime) -> None:
    """Raises: JobFailedError before CODERAPI_CODER_TOKEN expires, or if Coder rejects it."""
    found = token_finding(now)
    if found.state is not State.GOOD:
        raise JobFailedError(f"{found.message.rstrip('.')}. Fix: {found.fix}.")


# --- The proxy --------------------------------------------------------------------------------


def _proxy(url: str) -> Iterator[Finding]:
    admin = f"{settings.PAGES_PATH}admin/"
    ours = [settings.CSP_REPORTS_PATH, f"{OWN_API}/stats/history", admin]
    ours += [f"{CODER_API}{admin}"] if settings.USER_SOURCE == "coder" else []
    ours += [each.path for each in DOCUMENTS] if settings.CONFIG_SOURCE == "coder" else []
    try:
        yield from [_route(path, _get(url + path), is_ours=True) for path in ours]
        yield _route(ME, _get(f"{url}{ME}"), is_ours=False)
        page = _get(f"{url}/", accept="text/html")
    except OutgoingError as error:
        change = "Use --proxy-url, or set CODER_ACCESS_URL to the URL of the proxy"
        yield Finding.failed("proxy", str(error), change)
        return
    found = _route("/", page, is_ours=False)
    yield found
    if found.state is State.GOOD:
        yield _policy(url, page)
        yield _cookies(page)


def _route(path: str, reply: Reply, *, is_ours: bool) -> Finding:
    name = "coderapi" if is_ours else "Coder"
    address = f"http://{settings.HTTP_ADDRESS}" if is_ours else redacted(settings.CODER_URL)
    change = f"Let the proxy send {path} to {address} (docs/beside-coder.md, Proxy)"
    if reply.status >= 500 and not _is_ours(reply):
        return Finding.failed("proxy", f"{path}: the proxy returned status {reply.status}.", change)
    if _is_ours(reply) is not is_ours:
        return Finding.failed("proxy", f"{path} does not go to {name}.", change)
    if is_ours and reply.status == HTTPStatus.NOT_FOUND:
        text = f"{path}: the running coderapi has other settings than this command."
        return Finding.failed("proxy", text, "Restart coderapi with the same settings")
    return Finding.ok("proxy", f"{path} goes to {name}.")


def _policy(url: str, page: Reply) -> Finding:
    directives = ";".join(page.headers.getlist("Content-Security-Policy")).split(";")
    found = [words[1:] for words in map(str.split, directives) if words[:1] == ["report-uri"]]
    targets = {urljoin(f"{url}/", target) for words in found for target in words}
    if f"{url}{settings.CSP_REPORTS_PATH}" in targets:
        if settings.CSP_ALLOWED_SENDERS == "public":
            return Finding.ok("CSP", "Browsers report violations of Coder's policy to coderapi.")
        text = "Firefox sends these reports without cookies, so coderapi rejects them."
        return Finding("CSP", State.NOTICE, text, "CODERAPI_CSP_ALLOWED_SENDERS=public")
    text = "The policy of Coder's pages does not send reports to coderapi."
    change = f'In Coder: CODER_ADDITIONAL_CSP_POLICY="report-uri {settings.CSP_REPORTS_PATH}"'
    return Finding.failed("CSP", text, change)


def _cookies(page: Reply) -> Finding:
    # Python's SimpleCookie fails for some names, and a proxy may add a cookie with such a name.
    change = "Let the proxy pass on Set-Cookie without changes"
    cookies = dict(map(_named_attributes, page.headers.getlist("Set-Cookie")))
    for name in (CSRF_COOKIE, COOKIE):
        attributes = cookies.get(name, {"path": "/"})
        if attributes.get("domain") or attributes.get("path") != "/":
            text = f"The proxy changes the cookie {name}."
            return Finding.failed("cookies", text, change)
    if CSRF_COOKIE not in cookies:
        text = f"Coder's page does not set the cookie {CSRF_COOKIE}."
        return Finding("cookies", State.NOTICE, text, change)
    return Finding.ok("cookies", f"{CSRF_COOKIE} belongs to the host, as Coder sets it.")


def _named_attributes(set_cookie: str) -> tuple[str, dict[str, str]]:
    pair, *attributes = (part.strip().partition("=") for part in set_cookie.split(";"))
    return pair[0], {name.lower(): value for name, _, value in attributes}


def _get(url: str, *, accept: str = "application/json", seconds: float = SECONDS) -> Reply:
    headers = {"Accept": accept, "User-Agent": settings.USER_AGENT}
    return send(Outgoing(url, headers, networks=None, max_redirects=0), seconds=seconds)


def _is_ours(reply: Reply) -> bool:
    build = reply.headers.get(BUILD_VERSION, "")
    return OUR_BUILD in build or VERSION in reply.headers
