"""Advice for violation groups: what a policy allows, and which entry would allow a source."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.advice.hosts import HostKind, kind_of
from csp.advice.policy import governing_directive, is_allowed, is_nameable, matches, parse
from csp.advice.refusals import Risk
from csp.advice.suggestion import Advice, Blocked, advise, extended, prevented
from csp.directives import cause
from csp.scrubbing.address import DEFAULT_PORTS, Address, address_of

PAGE = "https://coder.example.com"


HIGH, MEDIUM, LOW = Risk.HIGH, Risk.MEDIUM, Risk.LOW
# A policy with the directives that Coder's own policy has.
CODER = (
    "default-src 'self'; connect-src 'self' wss://coder.example.com; child-src 'self'; "
    "script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'self'; img-src 'self' https: data:; "
    "form-action 'self'; media-src 'self'; report-uri /api/v2/csp/reports"
)


def address(url: str) -> Address:
    found = address_of(url)
    assert is_nameable(found)
    return found


# --- Policies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", {}),
        (" ; ;", {}),
        ("default-src", {"default-src": ()}),
        ("Script-SRC  a.example\tb.example ", {"script-src": ("a.example", "b.example")}),
        # CSP 3, 2.2.1: of a repeated directive, the first one counts.
        ("img-src a.example; IMG-SRC b.example", {"img-src": ("a.example",)}),
        ("\nimg-src\na.example;", {"img-src": ("a.example",)}),
    ],
)
def test_policy_is_parsed(text: str, policy: dict[str, tuple[str, ...]]) -> None:
    assert parse(text) == policy


@pytest.mark.parametrize(
    ("policy", "directive", "governing"),
    [
        ("script-src a; default-src b", "script-src-elem", "script-src"),
        ("script-src-elem a; script-src b", "script-src-elem", "script-src-elem"),
        ("default-src a", "script-src-attr", "default-src"),
        ("child-src a; script-src b", "worker-src", "child-src"),
        ("script-src b; default-src c", "worker-src", "script-src"),
        ("child-src a; default-src b", "frame-src", "child-src"),
        ("default-src a", "frame-ancestors", ""),
        ("default-src a", "form-action", ""),
        ("", "img-src", ""),
    ],
)
def test_directive_falls_back(policy: str, directive: str, governing: str) -> None:
    assert governing_directive(parse(policy), directive) == governing


@pytest.mark.parametrize(
    ("source", "url", "page", "expected"),
    [
        # The wildcard matches network schemes and the page's own scheme.
        ("*", "https://a.example", PAGE, True),
        ("*", "wss://a.example", PAGE, True),
        ("*", "data", PAGE, False),
        ("*", "blob", "blob", True),
        # Schemes, and their secure variants.
        ("https:", "https://a.example", PAGE, True),
        ("http:", "https://a.example", PAGE, True),
        ("https:", "http://a.example", PAGE, False),
        ("ws:", "wss://a.example", PAGE, True),
        ("DATA:", "data", PAGE, True),
        ("data:", "blob", PAGE, False),
        # Hosts. The examples of CSP 3, 6.7.2.10.
        ("*.example.com", "https://www.example.com", PAGE, True),
        ("*.example.com", "https://a.b.example.com", PAGE, True),
        ("*.example.com", "https://example.com", PAGE, False),
        ("example.com", "https://example.com", PAGE, True),
        ("EXAMPLE.com", "https://example.COM", PAGE, True),
        ("example.com", "https://www.example.com", PAGE, False),
        ("127.0.0.1", "https://127.0.0.1", PAGE, True),
        ("127.0.0.2", "https://127.0.0.2", PAGE, False),
        ("[::1]", "https://[::1]", PAGE, False),
        # If the entry has no scheme, it allows only the page's scheme, or https.
        ("example.com", "http://example.com", PAGE, False),
        ("example.com", "https://example.com", "http://a.example", True),
        ("http://example.com", "https://example.com", PAGE, True),
        ("wss://example.com", "https://example.com", PAGE, True),
        ("https://example.com", "wss://example.com", PAGE, False),
        # Ports.
        ("example.com:443", "https://example.com", PAGE, True),
        ("example.com:80", "https://example.com", PAGE, False),
        ("example.com", "https://example.com:8443", PAGE, False),
        ("example.com:8443", "https://example.com:8443", PAGE, True),
        ("example.com:*", "https://example.com:8443", PAGE, True),
        # Paths.
        ("example.com/a/", "https://example.com/a/b.js", PAGE, True),
        ("example.com/a/", "https://example.com/a", PAGE, False),
        ("example.com/a", "https://example.com/a/b.js", PAGE, False),
        ("example.com/a.js", "https://example.com/a.js", PAGE, True),
        ("example.com/", "https://example.com/a.js", PAGE, True),
        ("example.com/%61.js", "https://example.com/a.js", PAGE, True),
        # The page itself.
        ("'self'", "https://coder.example.com/x", PAGE, True),
        ("'SELF'", "wss://coder.example.com", PAGE, True),
        ("'self'", "https://coder.example.com", "http://coder.example.com", True),
        ("'self'", "ws://coder.example.com", "http://coder.example.com", True),
        ("'self'", "http://coder.example.com", PAGE, False),
        ("'self'", "https://coder.example.com:8443", PAGE, False),
        ("'self'", "https://a.example", PAGE, False),
        # Other expressions never match a URL.
        ("'none'", "https://a.example", PAGE, False),
        ("'unsafe-inline'", "https://a.example", PAGE, False),
        ("'nonce-abc'", "https://a.example", PAGE, False),
        ("exa mple", "https://a.example", PAGE, False),
    ],
)
def test_source_matches_url(source: str, url: str, page: str, *, expected: bool) -> None:
    """By the algorithms of CSP 3, 6.7.2.8 to 6.7.2.12."""
    assert matches(source, address(url), address(page)) is expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "/path", "https://", "https://a:b/", "https://a;script-src *", "https://a b", "1:x"),
        *("http", "HTTPS", "ws", "wss"),
    ],
)
def test_url_that_a_policy_cannot_name(url: str) -> None:
    assert not is_nameable(address_of(url))


# --- Advice -----------------------------------------------------------------------------------


def advice(directive: str, *urls: str, source: str = "", policy: str = CODER) -> Advice:
    first = address_of(urls[0] if urls else "")
    blocked = source or first.host or first.scheme
    return advise(Blocked(directive, blocked, urls, PAGE, policy))


@pytest.mark.parametrize(
    ("directive", "urls", "entry", "risk"),
    [
        ("img-src", ["http://img.example/a.png"], "img-src http://img.example", MEDIUM),
        ("font-src", ["https://fonts.example/a"], "font-src https://fonts.example", LOW),
        ("script-src-elem", ["https://cdn.example/a.js"], "script-src https://cdn.example", HIGH),
        ("script-src", ["http://cdn.example/a.js"], "script-src http://cdn.example", HIGH),
        ("script-src", ["https://unpkg.com/a.js"], "script-src https://unpkg.com", HIGH),
        ("media-src", ["https://a.github.io/x"], "media-src https://a.github.io", MEDIUM),
        (
            "connect-src",
            ["https://api.example:8443/x"],
            "connect-src https://api.example:8443",
            MEDIUM,
        ),
        (
            "connect-src",
            ["wss://api.example/x", "https://api.example/y", "https://api.example/z"],
            "connect-src https://api.example wss://api.example",
            MEDIUM,
        ),
        ("media-src", ["blob"], "media-src blob:", LOW),
        ("connect-src", ["data"], "connect-src data:", MEDIUM),
        # Coder's policy has child-src, which covers frames, but no frame-src.
        ("frame-src", ["https://a.example"], "frame-src 'self' https://a.example", LOW),
        (
            "frame-ancestors",
            ["https://a.example"],
            "frame-ancestors 'self' https://a.example",
            MEDIUM,
        ),
        ("connect-src", ["http://localhost:8080"], "connect-src http://localhost:8080", MEDIUM),
    ],
)
def test_entry_is_as_narrow_as_the_reports(
    directive: str, urls: list[str], entry: str, risk: Risk
) -> None:
    found = advice(directive, *urls)
    assert (found.policy_entry, found.risk) == (entry, risk)
    assert found.reasons
    assert found.protected_content


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("unpkg.com", HostKind.SHARED),
        ("storage.googleapis.com", HostKind.SHARED),
        ("s3.eu-west-1.amazonaws.com", HostKind.SHARED),
        ("s3.amazonaws.com", HostKind.SHARED),
        ("assets.s3.amazonaws.com", HostKind.BUCKET),
        ("assets.s3.eu-west-1.amazonaws.com", HostKind.BUCKET),
        ("assets.s3-website-ap-southeast-1.amazonaws.com", HostKind.BUCKET),
        ("assets.storage.googleapis.com", HostKind.BUCKET),
        ("account.blob.core.windows.net", HostKind.BUCKET),
        ("pub-1.r2.dev", HostKind.BUCKET),
        ("a.github.io", HostKind.CUSTOMER),
        ("d111.cloudfront.net", HostKind.CUSTOMER),
        ("a.b-cdn.net", HostKind.CUSTOMER),
        ("ec2-1-2-3-4.compute-1.amazonaws.com", HostKind.CUSTOMER),
        ("fonts.googleapis.com", HostKind.OTHER),
        ("s3.example.com", HostKind.OTHER),
        ("portal.acme.test", HostKind.OTHER),
        ("example.co.uk", HostKind.OTHER),
        ("localhost", HostKind.OTHER),
    ],
)
def test_kind_of_host(host: str, kind: HostKind) -> None:
    assert kind_of(host) == kind


@pytest.mark.parametrize(
    ("directive", "url", "risk", "words"),
    [
        ("script-src", "https://www.google.com/a.js", HIGH, "Injected markup can run code"),
        ("media-src", "https://www.google.com/a.png", LOW, "Only content from"),
        ("script-src", "https://a.s3.amazonaws.com/a.js", HIGH, "a bucket of an object store"),
        ("media-src", "https://a.s3.amazonaws.com/a.png", MEDIUM, "someone else can take"),
    ],
)
def test_risk_of_host(directive: str, url: str, risk: Risk, words: str) -> None:
    found = advice(directive, url)
    assert found.risk == risk
    assert words in " ".join(found.reasons)


# Anyone can forge a report, so its policy could contain the sources of an attacker.
FORGED = "default-src https://evil.example 'unsafe-inline'"
STRICT = "script-src 'nonce-a' 'Strict-Dynamic'"


@pytest.mark.parametrize(
    ("directive", "url", "policy", "entry", "reason"),
    [
        ("media-src", "https://a.example", "", "media-src 'self' https://a.example", "no policy"),
        ("img-src", f"{PAGE}/logo.png", "img-src 'none'", "img-src 'self'", ""),
        ("script-src", "https://a.example", STRICT, "", "'strict-dynamic'"),
        ("img-src", "https://img.test/a", FORGED, "img-src 'self' https://img.test", "default-src"),
    ],
)
def test_entry_depends_on_the_reported_policy(
    directive: str, url: str, policy: str, entry: str, reason: str
) -> None:
    found = advice(directive, url, policy=policy)
    assert found.policy_entry == entry
    assert reason in found.reasons[-1]


def test_keywords_are_suggested_with_their_risk() -> None:
    found = advice("script-src", source="wasm-eval")
    assert (found.policy_entry, found.risk) == ("script-src 'wasm-unsafe-eval'", MEDIUM)
    assert advice("img-src", f"{PAGE}/logo.png", policy="img-src 'none'").risk is LOW


@pytest.mark.parametrize(
    ("directive", "urls", "source", "reason"),
    [
        ("script-src-elem", [], "inline", "'unsafe-inline'"),
        ("script-src", [], "eval", "'unsafe-eval'"),
        ("script-src", ["chrome-extension"], "chrome-extension", "browser extension"),
        ("script-src", ["data"], "data", "every URL with this scheme"),
        ("script-src", [], "unknown", "did not report"),
        ("script-src", [], "other", "many causes"),
        ("require-trusted-types-for", [], "inline", "not have a list of sources"),
        ("img-src", ["https://10.0.0.1/x"], "10.0.0.1", "IP address"),
        ("img-src", ["https://a;script-src *"], "a;script-src *", "no URL that a source can name"),
        # A forged report must not lead to an entry that allows every host.
        ("connect-src", ["https"], "https", "no URL that a source can name"),
        ("sandbox", [], "", "not have a list of sources"),
        ("connect-src", ["wss://coder.example.com/x"], "", "allows this source already"),
        ("invented", ["https://a.example"], "a.example", "not have a list of sources"),
    ],
)
def test_reason_is_given_where_no_entry_should_be_added(
    directive: str, urls: list[str], source: str, reason: str
) -> None:
    found = advice(directive, *urls, source=source)
    assert found.policy_entry == ""
    assert reason in found.reasons[0]


@pytest.mark.parametrize(
    ("directive", "source", "risk", "words"),
    [
        ("script-src-elem", "inline", HIGH, "put its nonce or its hash"),
        ("script-src-attr", "inline", HIGH, "A nonce does not help an attribute"),
        ("script-src", "inline", HIGH, "such as onclick"),
        ("style-src-elem", "inline", MEDIUM, "the nonce or the hash of the element"),
        ("style-src-attr", "inline", MEDIUM, "A nonce does not help an attribute"),
        ("style-src-attr", "inline", MEDIUM, "'unsafe-hashes'"),
        ("style-src", "inline", MEDIUM, "use a class"),
        ("script-src", "eval", HIGH, "new Function"),
        ("script-src", "wasm-eval", MEDIUM, "WebAssembly"),
        ("script-src", "cdn.example", HIGH, "can read and change the whole page"),
    ],
)
def test_each_kind_of_code_has_its_own_advice(
    directive: str, source: str, risk: Risk, words: str
) -> None:
    for is_coders in (True, False):
        urls = (f"https://{source}/a.js",)
        found = advise(Blocked(directive, source, urls, PAGE, CODER, is_coders=is_coders))
        reasons = " ".join(found.reasons)
        assert (found.risk, words in reasons) == (risk, True)
        assert "signed-in user" not in f"{reasons} {found.protected_content}"
        # Styles are not code, and only elements can have a nonce.
        assert ("code that an attacker" in reasons) is (
            directive[:6] == "script" and source == "inline"
        )


def test_script_from_a_host_that_no_operator_has_confirmed_is_a_high_risk() -> None:
    blocked = Blocked("script-src", "cdn.example", ("https://cdn.example/a.js",), PAGE, CODER)
    assert advise(blocked).risk is HIGH
    assert "No operator has confirmed this source" in advise(blocked).reasons[-1]
    confirmed = advise(replace(blocked, is_confirmed=True))
    assert (confirmed.risk, len(confirmed.reasons)) == (MEDIUM, 1)


def test_entry_for_framing_keeps_the_source_that_it_replaces() -> None:
    policy = "frame-ancestors 'self' https://old.example"
    found = advice("frame-ancestors", "https://a.example", policy=policy)
    assert found.policy_entry == "frame-ancestors 'self' https://a.example"
    assert "replaces Coder's own sources of frame-ancestors" in found.reasons[-1]


def test_advice_for_another_site_does_not_speak_of_coder() -> None:
    policy = "frame-ancestors 'self' https://old.example; img-src 'none'"
    for directive, url in (
        ("frame-ancestors", "https://a.example"),
        ("img-src", f"{PAGE}/logo.png"),
        ("font-src", "https://a.example"),
    ):
        for reported in (policy, ""):
            blocked = Blocked(directive, "a.example", (url,), PAGE, reported, is_coders=False)
            found = advise(blocked)
            assert found.policy_entry
            assert found.setting == ""
            assert "Coder" not in " ".join(found.reasons)
    found = advise(
        Blocked("frame-ancestors", "a.example", ("https://a.example",), PAGE, policy, True, False)
    )
    assert found.policy_entry == "frame-ancestors https://a.example"
    assert len(extended(parse(policy), found)["frame-ancestors"]) == 3


@pytest.mark.parametrize(
    ("directive", "source", "expected"),
    [
        ("script-src", "cdn.example.net:8443", "Script from cdn.example.net:8443"),
        ("connect-src", "localhost", "Connection to localhost"),
        ("script-src-elem", "inline", "Inline script"),
        ("script-src-attr", "inline", "Event handler"),
        ("img-src", "data", "Image with a data: URL"),
        ("img-src", "chrome-extension", "Image of a browser extension"),
        ("img-src", "unknown", "Image from an unknown source"),
        ("img-src", "[open](https://evil.example/login)", "Image from an invalid source"),
        ("img-src", "https://evil.example", "Image from an invalid source"),
        # A forged report can contain any directive.
        ("your-session-has-expired", "a.example", "Content from a.example"),
        ("trusted-types", "inline", "Inline trusted-types"),
    ],
)
def test_cause_is_described_in_words(directive: str, source: str, expected: str) -> None:
    assert cause(directive, source) == expected


DIRECTIVES = st.sampled_from(
    ["img-src", "script-src-elem", "style-src", "connect-src", "frame-src", "media-src", "base-uri"]
)
POLICIES = st.sampled_from(
    [CODER, "", "default-src 'none'", "script-src 'self'", "img-src *", "child-src 'self'"]
)
HOSTS = st.sampled_from(["a.example", "b.example", "coder.example.com", "unpkg.com", "x.github.io"])
URLS = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https", "ws", "wss"]),
    HOSTS,
    st.sampled_from(["", ":8443", ":443", ":80"]),
    st.sampled_from(["", "a.js", "a/b.js"]),
)


@given(DIRECTIVES, URLS, POLICIES)
def test_suggested_policy_allows_what_was_blocked(directive: str, url: str, policy: str) -> None:
    found = advice(directive, url, policy=policy)
    is_blocked = not is_allowed(parse(policy), directive, address(url), address(PAGE))
    if is_blocked or not governing_directive(parse(policy), directive):
        assert prevented(found, [(directive, url, PAGE, policy, 3)]) == 3
    else:
        assert found.policy_entry == ""


@given(DIRECTIVES, URLS, URLS, POLICIES)
def test_suggested_policy_allows_nothing_else(
    directive: str, url: str, other: str, policy: str
) -> None:
    """Apart from the blocked host, the new policy may only add the page's host as 'self'."""
    found = advice(directive, url, policy=policy)
    if not found.policy_entry:
        return
    before, after = parse(policy), extended(parse(policy), found)
    page, seen, wanted = address(PAGE), address(url), address(other)
    if is_allowed(after, directive, wanted, page) and not is_allowed(
        before, directive, wanted, page
    ):
        # http://a.example allows https://a.example, and http://a.example:443 does, too.
        port = wanted.port or DEFAULT_PORTS[wanted.scheme]
        same = wanted.host == seen.host and seen.port in {wanted.port, port}
        assert same or (wanted.host == page.host and "'self'" in found.policy_entry)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=40), st.text(max_size=40))
def test_advice_never_fails(directive: str, source: str, url: str, policy: str) -> None:
    found = advise(Blocked(directive, source, (url,), url, policy))
    assert found.reasons
    assert ";" not in found.policy_entry
    assert prevented(found, [(directive, url, url, policy, 1)]) in {0, 1}


def test_prevented_reports_are_counted_by_weight() -> None:
    found = advice("img-src", "http://img.example/a.png")
    reports = [
        ("img-src", "http://img.example/b.png", PAGE, CODER, 5),
        ("img-src", "http://other.example/b.png", PAGE, CODER, 7),
        ("script-src", "http://img.example/b.js", PAGE, CODER, 11),
        ("img-src", "inline", PAGE, CODER, 13),
    ]
    assert prevented(found, reports) == 5
