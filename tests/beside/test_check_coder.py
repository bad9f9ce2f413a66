"""The command `check_coder`, with a fault in one part of the pair."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.registry import find
from jobs.services import run_job
from kernel import memory
from tests.support.api.client import browser_of
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.factories import make_user

type Change = Callable[[StandInCoder, Any], object]


@pytest.fixture
def coder(coder: StandInCoder, settings: Any) -> StandInCoder:
    """Applies the settings of the guide, so that every check passes."""
    settings.ACCESS_URL = coder.dashboard = "https://coder.example.com"
    settings.USER_SOURCE, settings.PAGES_PATH = "coder", "/coderapi/"
    settings.TRUSTED_PROXY_HEADERS = ["X-Forwarded-For"]
    settings.TRUSTED_PROXY_ORIGINS = ["127.0.0.1/32"]
    settings.SECURE_COOKIES, settings.CSP_ALLOWED_SENDERS = True, "public"
    coder.config["config"] |= {
        "proxy_trusted_headers": ["X-Forwarded-For"],
        "proxy_trusted_origins": ["127.0.0.1/32"],
        "disable_path_apps": True,
    }
    return coder


def set_on(name: str, value: object) -> Change:
    """Returns a change of the stand-in, or of a setting if the name is in upper case."""
    return lambda coder, settings: setattr(settings if name.isupper() else coder, name, value)


def configured_as(**values: Any) -> Change:
    """Returns a change of the stand-in's configuration."""
    return lambda coder, settings: coder.config["config"].update(values)


def with_new_option(coder: StandInCoder, settings: Any) -> None:
    coder.config["options"].append({"name": "New option"})


FORWARDED = "In Coder: CODER_PROXY_TRUSTED_HEADERS=X-Forwarded-For"
LOOPBACK = "In Coder: CODER_PROXY_TRUSTED_ORIGINS=127.0.0.1/32"


def not_an_owner(coder: StandInCoder, settings: Any) -> None:
    settings.CODER_TOKEN = coder.add(Key(Person("ada"))).token


def checked(proxy_url: str) -> list[dict[str, str]]:
    out = StringIO()
    with pytest.raises(CommandError, match=r"\d+ checks? failed\."):
        call_command("check_coder", "--json", proxy_url=proxy_url, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("change", "check", "state", "advice"),
    [
        (set_on("CODER_URL", ""), "settings", "failed", "CODERAPI_CODER_URL="),
        (set_on("PAGES_PATH", "/"), "settings", "failed", "CODERAPI_PAGES_PATH=/coderapi/"),
        (set_on("TRUSTED_PROXY_ORIGINS", []), "settings", "warning", "CODER_PROXY_TRUSTED_HEADERS"),
        (set_on("SECURE_COOKIES", False), "settings", "warning", "CODER_SECURE_AUTH_COOKIE=true"),
        (set_on("CODER_URL", "http://127.0.0.1:1"), "Coder", "failed", "CODERAPI_CODER_URL="),
        (set_on("build", "v2.29.0+coderapi.0.1.0"), "Coder", "failed", "CODERAPI_CODER_URL="),
        (set_on("fault", "html"), "Coder", "failed", "CODERAPI_CODER_URL="),
        (set_on("fault", "500"), "Coder", "failed", "CODERAPI_CODER_URL="),
        (set_on("fault", "redirect"), "Coder", "failed", "CODERAPI_CODER_URL=https://coder."),
        (set_on("version", "v2.24.3"), "version", "failed", "2.25"),
        (set_on("version", "v2.39.0+x"), "version", "warning", "Upgrade coderapi"),
        (set_on("version", "v0.0.0-devel+5bd9cd1"), "version", "warning", "a release of Coder"),
        (configured_as(proxy_trusted_headers=None), "trusted headers", "failed", FORWARDED),
        (
            configured_as(proxy_trusted_headers=["X-Real-Ip"]),
            "trusted headers",
            "failed",
            FORWARDED,
        ),
        (
            configured_as(proxy_trusted_headers=["x-forwarded-for", "True-Client-IP"]),
            *("trusted headers", "failed", FORWARDED),
        ),
        (configured_as(proxy_trusted_origins=None), "trusted origins", "failed", LOOPBACK),
        (
            configured_as(proxy_trusted_origins=["10.0.0.0/8", "0.0.0.0/0"]),
            *("trusted origins", "failed", LOOPBACK),
        ),
        (configured_as(proxy_trusted_origins=["::/0"]), "trusted origins", "failed", LOOPBACK),
        (
            configured_as(access_url="http://coder.example.com:3000"),
            *("access URL", "failed", "CODER_ACCESS_URL=https://coder.example.com:3000"),
        ),
        (
            configured_as(disable_path_apps=False),
            *("path apps", "warning", "CODER_DISABLE_PATH_APPS=true"),
        ),
        (
            configured_as(http_cookies={"host_prefix": True}),
            *("cookies", "failed", "CODER_HOST_PREFIX_COOKIE=false"),
        ),
        (configured_as(proxy_trusted_origins="x"), "configuration", "failed", "a tested release"),
        (with_new_option, "options", "warning", "options --compare http://127.0.0.1:"),
        (set_on("clock_ahead", 120.0), "clock", "failed", "NTP"),
        (set_on("clock_ahead", -120.0), "clock", "failed", "NTP"),
        (set_on("fault", "no date"), "clock", "warning", "Compare the clocks"),
        (set_on("ACCESS_URL", "https://b.example.com"), "access URL", "failed", "CODER_ACCESS_URL"),
        (set_on("policy", "default-src 'self'"), "CSP", "failed", "report-uri /api/v2/csp/reports"),
        (
            set_on("policy", "report-uri https://elsewhere.example.com/api/v2/csp/reports"),
            *("CSP", "failed", "report-uri /api/v2/csp/reports"),
        ),
        (
            set_on("CSP_ALLOWED_SENDERS", "authenticated"),
            "CSP",
            "warning",
            "CODERAPI_CSP_ALLOWED_SENDERS=public",
        ),
        (set_on("domain", "; Domain=x\r\nSet-Cookie: a/b=1"), "cookies", "failed", "Set-Cookie"),
        (set_on("CODER_TOKEN", "planted-secret"), "CODERAPI_CODER_TOKEN", "failed", "as an owner"),
        (not_an_owner, "CODERAPI_CODER_TOKEN", "failed", "If Coder rejects the token: coder "),
    ],
)
def test_fault_is_found_with_the_line_to_change(
    coder: StandInCoder, settings: Any, change: Change, check: str, state: str, advice: str
) -> None:
    change(coder, settings)

    rows = checked(coder.url)

    matching = [row for row in rows if (row["check"], row["state"]) == (check, state)]
    assert any(advice in row["fix"] for row in matching), rows
    assert "planted" not in json.dumps(rows)


@pytest.mark.django_db
def test_home_page_of_the_admin_shows_the_state_of_coder(
    coder: StandInCoder, settings: Any
) -> None:
    # The URL configuration reads this setting once.
    settings.PAGES_PATH = "/"
    browser = browser_of(make_user("auditor"))
    for change, text in (
        (set_on("version", "v2.24.3"), "Coder 2.24.3 is too old."),
        (set_on("version", "v2.34.1"), "Coder 2.34.1 is supported."),
        (set_on("fault", "500"), "returned status 500"),
    ):
        change(coder, settings)
        memory.clear_all()
        coder.seen.clear()
        for _ in range(2):
            assert text in browser.get("/admin/").text
        assert len(coder.seen) == 1


def test_page_of_a_failing_coder_is_not_judged(coder: StandInCoder) -> None:
    coder.fault = "500"
    found = {row["check"] for row in checked(coder.url)}
    assert found == {"Coder", "CODERAPI_CODER_TOKEN", "proxy"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("lifetime", "left", "is_near"),
    [(30, 7.1, False), (30, 6.9, True), (7, 1.8, False), (7, 1.7, True)],
)
def test_job_fails_before_the_service_token_expires(
    coder: StandInCoder, settings: Any, lifetime: int, left: float, is_near: bool
) -> None:
    key, now = coder.keys[settings.CODER_TOKEN], timezone.now()
    key.lifetime_seconds, end = lifetime * 86_400, now + timedelta(days=left)
    key.expires_at = end.isoformat()
    run = run_job(find("check_coder_token"), now)
    assert run is not None
    assert run.failed is is_near
    assert is_near is (f"on {end:%Y-%m-%d %H:%M} UTC. Fix: coder tokens create" in run.error)
    page = browser_of(make_user("auditor")).get("/admin/").text
    line = page.partition("<dt>CODERAPI_CODER_TOKEN</dt>")[2].partition("</div>")[0]
    assert is_near is ("Fix: coder tokens create" in line)
    assert key.token not in run.error


def advice(path: str, address: str) -> str:
    return f"Let the proxy send {path} to {address} (docs/beside-coder.md, Proxy)"


def test_wrong_paths_of_the_proxy_are_found(coder: StandInCoder) -> None:
    ours = f"http://{configured.HTTP_ADDRESS}"
    paths = ["/api/v2/csp/reports", "/api/coderapi/v1/stats/history"]
    paths += ["/coderapi/admin/", "/api/v2/coderapi/admin/"]

    with StandInCoder() as coderapi:
        coderapi.build = "v2.29.0+coderapi.0.1.0"
        for proxy_url, expected in (
            (coder.url, [advice(path, ours) for path in paths]),
            (
                coderapi.url,
                ["Restart coderapi with the same settings"] * 3
                + [advice(path, coder.url) for path in ("/api/v2/users/me", "/")],
            ),
            (
                "http://127.0.0.1:1",
                ["Use --proxy-url, or set CODER_ACCESS_URL to the URL of the proxy"],
            ),
        ):
            rows = [row for row in checked(proxy_url) if row["check"] == "proxy"]
            assert [row["fix"] for row in rows if row["fix"]] == expected
