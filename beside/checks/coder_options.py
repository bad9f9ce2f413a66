"""Checks the configuration of Coder. Reads it with CODERAPI_CODER_TOKEN."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from beside.checks import Finding
from beside.client import CoderUnavailableError, ask
from beside.configuration.documents import CONFIG, MAX_BYTES
from kernel.admin import State
from kernel.outgoing import redacted
from kernel.release import PROGRAM
from kernel.text.humanize import plural
from options.comparison import unknown_options

TRUSTED_HEADER = "X-Forwarded-For"
TRUSTED_HEADERS = f"CODER_PROXY_TRUSTED_HEADERS={TRUSTED_HEADER}"
TRUSTED_ORIGINS = "CODER_PROXY_TRUSTED_ORIGINS=127.0.0.1/32"
# A network with a shorter prefix contains addresses of many clients. By IP version.
MIN_PREFIX = {4: 8, 6: 16}

type Json = dict[str, Any]


def findings() -> Iterator[Finding]:
    """Yields the results of the checks. Sends one request to Coder."""
    try:
        answer = ask(CONFIG, token=settings.CODER_TOKEN, max_bytes=MAX_BYTES)
        found = answer.read(lambda value: [_options(value), *_judge(value["config"])])
    except CoderUnavailableError as error:
        yield Finding.failed("configuration", str(error), "Use a tested release of Coder")
        return
    yield from found


def _options(answer: Json) -> Finding:
    unknown = unknown_options(answer)
    if not unknown:
        return Finding.ok("options", "coderapi knows all options of Coder.")
    count = plural(len(unknown), "option")
    text = f"Coder has {count} that coderapi does not know. They are returned without changes."
    change = f"{PROGRAM} options --compare {redacted(settings.CODER_URL)} lists them"
    return Finding("options", State.NOTICE, text, change)


def _judge(config: Json) -> Iterator[Finding]:
    yield _trusted_headers(config.get("proxy_trusted_headers") or [])
    yield _trusted_origins(config.get("proxy_trusted_origins") or [])
    yield _access_url(str(config.get("access_url", "")))
    if not config.get("disable_path_apps"):
        text = (
            "Workspace apps below Coder's access URL can send requests as the user who opens them."
        )
        change = "In Coder: CODER_DISABLE_PATH_APPS=true (apps then need a wildcard access URL)"
        yield Finding("path apps", State.NOTICE, text, change)
    if settings.USER_SOURCE == "coder" and (config.get("http_cookies") or {}).get("host_prefix"):
        text = "coderapi does not read session cookies with the prefix __Host-."
        yield Finding.failed("cookies", text, "In Coder: CODER_HOST_PREFIX_COOKIE=false")


def _trusted_headers(headers: list[str]) -> Finding:
    change = f"In Coder: {TRUSTED_HEADERS}"
    if TRUSTED_HEADER.lower() not in map(str.lower, headers):
        text = f"Coder does not trust {TRUSTED_HEADER}, so all clients share its rate limits."
        return Finding.failed("trusted headers", text, change)
    others = [header for header in headers if header.lower() != TRUSTED_HEADER.lower()]
    if others:
        text = f"Coder also trusts {', '.join(others)}. A client can set it, unless the proxy does."
        return Finding.failed("trusted headers", text, change)
    return Finding.ok("trusted headers", f"Coder trusts {TRUSTED_HEADER}.")


def _trusted_origins(origins: list[str]) -> Finding:
    change = f"In Coder: {TRUSTED_ORIGINS} (the address of the proxy)"
    if not origins:
        text = "Coder trusts no proxy, so all clients share its rate limits."
        return Finding.failed("trusted origins", text, change)
    networks = {origin: ipaddress.ip_network(origin, strict=False) for origin in origins}
    if wide := [o for o, each in networks.items() if each.prefixlen < MIN_PREFIX[each.version]]:
        text = f"Coder trusts {', '.join(wide)}, so clients can choose their own address."
        return Finding.failed("trusted origins", text, change)
    return Finding.ok("trusted origins", f"Coder trusts the proxy at {', '.join(origins)}.")


def _access_url(url: str) -> Finding:
    parts = urlsplit(url)
    if parts.scheme != "https":
        text = f"Coder's access URL {redacted(url)} has no TLS."
        change = f"In Coder: CODER_ACCESS_URL=https://{parts.netloc.rpartition('@')[2]}"
        return Finding.failed("access URL", text, change)
    return Finding.ok("access URL", "Coder's access URL has TLS.")
