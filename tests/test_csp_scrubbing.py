from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.coder_addresses import path_template, private_host
from csp.masking import holds_secret, masked
from csp.parsers import parse
from csp.scrub import (
    origin_of,
    scrubbed,
    scrubbed_extra,
    scrubbed_policy,
    scrubbed_uri,
)
from tests.csp_reports import legacy

CODER_TOKEN = "aB3dE6gH9j-aB3dE6gH9jK2mN5pQ8sT1u"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("uri", "stored"),
    [
        ("https://u:p@Host.example.com/a?q=1#f", "https://host.example.com/a"),
        ("https://host.example.com:443/a", "https://host.example.com/a"),
        ("https://host.example.com:8443/a", "https://host.example.com:8443/a"),
        ("wss://host.example.com/ws?token=x", "wss://host.example.com/ws"),
        (f"https://h.example.com/{CODER_TOKEN}/x", "https://h.example.com/{secret}/x"),
        ("https://h.example.com/reset/a.b@c.example", "https://h.example.com/reset/{email}"),
        (
            "https://h.example.com/@alice/dev.main/apps/code",
            "https://h.example.com/@{user}/{workspace}/apps/code",
        ),
        ("data:text/html,secret", "data"),
        ("blob:https://h.example.com/1f0b", "blob"),
        ("chrome-extension://abcdefgh/inject.js", "chrome-extension://abcdefgh"),
        ("chrome-extension", "chrome-extension"),
        ("inline", "inline"),
        ("/relative/path?token=1", "/relative/path"),
        ("https://[::1]:3000/x?y", "https://[::1]:3000/x"),
        ("http://bad:port/x?token=1", "http"),
        ("", ""),
    ],
)
def test_addresses_lose_what_is_private(uri: str, stored: str) -> None:
    assert scrubbed_uri(uri) == stored


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/workspaces", "/workspaces"),
        ("/@alice/dev", "/@{user}/{workspace}"),
        ("/@alice/dev/builds/17", "/@{user}/{workspace}/builds/{number}"),
        ("/%40alice/dev.main/terminal", "/@{user}/{workspace}/terminal"),
        ("/@alice", "/@{user}"),
        ("/templates/docker", "/templates/{template}"),
        ("/templates/docker/versions/5", "/templates/{template}/versions/{number}"),
        ("/templates/new", "/templates/new"),
        ("/organizations/acme/members", "/organizations/{organization}/members"),
        ("/api/v2/users/alice/workspace/dev", "/api/v2/users/{user}/workspace/{workspace}"),
        ("/api/v2/users/me/keys", "/api/v2/users/me/keys"),
        ("/x/0b9f2a7c-1111-4222-8333-444455556666", "/x/{id}"),
    ],
)
def test_pages_of_one_kind_have_one_template(path: str, template: str) -> None:
    assert path_template(path) == template


@pytest.mark.parametrize(
    ("host", "template"),
    [
        ("8080--main--dev--alice.apps.example.com", "{port}--{agent}--{workspace}--{user}."),
        ("code-server--dev--alice.apps.example.com", "code-server--{workspace}--{user}."),
        ("coder.example.com", "coder.example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
    ],
)
def test_application_hosts_lose_names(host: str, template: str) -> None:
    assert private_host(host).startswith(template)
    assert "alice" not in private_host(host)


@pytest.mark.parametrize(
    "secret",
    [
        CODER_TOKEN,
        JWT,
        "cik_aB3dE6gH9jK2mN5pQ8sT1u00Aa1Z",
        "ghp_aB3dE6gH9jK2mN5pQ8sT1uV4wX7y",
        "d41d8cd98f00b204e9800998ecf8427e",
        "glpat-aB3dE6gH9jK2mN5pQ8sT",
        "a.person@example.com",
        "token=abcdef",
        "coder_session_token=abc",
        "Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdI",
    ],
)
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    assert holds_secret(secret)
    assert secret not in masked(f"before {secret} after")
    assert masked(f"/{secret}/") == masked(masked(f"/{secret}/"))


@pytest.mark.parametrize(
    "harmless",
    [
        "index-DnW3k9fA.js",
        "require-trusted-types-for",
        "0b9f2a7c-1111-4222-8333-444455556666",
        "/assets/vendor.min.js",
        "upgrade-insecure-requests",
        "script-src-elem 'self'",
        CODER_TOKEN[:8],
    ],
)
def test_what_is_harmless_stays(harmless: str) -> None:
    assert not holds_secret(harmless)


@given(st.text())
def test_masking_twice_changes_nothing(text: str) -> None:
    assert masked(masked(text)) == masked(text)


@given(st.text())
def test_scrubbed_addresses_stay_as_they_are(uri: str) -> None:
    assert not holds_secret(scrubbed_uri(uri))


def test_policy_keeps_its_sources_and_loses_its_secrets() -> None:
    policy = (
        "script-src 'self' 'nonce-r4nd0m' https://u:p@cdn.example.net/x?key=1; "
        f"report-uri /api/v2/csp/reports?coder_session_token={CODER_TOKEN}; "
        "report-to csp"
    )
    assert scrubbed_policy(policy) == (
        "script-src 'self' 'nonce-{nonce}' https://cdn.example.net/x; "
        "report-uri /api/v2/csp/reports; report-to csp"
    )


def test_referrer_is_reduced_to_its_origin() -> None:
    assert origin_of("https://coder.example.com/@alice/dev?x") == "https://coder.example.com"
    assert origin_of("about:blank") == ""


def test_unknown_members_are_scrubbed_and_bounded() -> None:
    extra = {"a": f"https://h.example/?t={CODER_TOKEN}", CODER_TOKEN: 1, "big": "x " * 4000}
    assert scrubbed_extra(extra) == {"a": "https://h.example/", "{secret}": 1}


def test_scrubbing_twice_changes_nothing() -> None:
    [violation] = parse(legacy(document_uri="https://c.example/@alice/dev?x")).violations
    once = scrubbed(violation)
    assert scrubbed(once) == replace(once)
