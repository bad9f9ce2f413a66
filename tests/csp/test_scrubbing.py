from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csp.parsing.formats import parse
from csp.scrubbing.address import MAX_URI, address_of
from csp.scrubbing.coder_addresses import path_template, private_host
from csp.scrubbing.encodings import MAX_GROWTH, MAX_ROUNDS, MAY_CHANGE, decoded, shortened
from csp.scrubbing.free_text import scrubbed_policy, scrubbed_text
from csp.scrubbing.leak_search import holds_private, holds_private_member
from csp.scrubbing.masking import holds_secret, masked
from csp.scrubbing.reports import scrubbed, scrubbed_members
from kernel.telemetry import logs
from tests.support.csp.reports import CHROME, FIREFOX, legacy


def scrubbed_uri(uri: str) -> str:
    return address_of(uri).text


CODER_TOKEN = "aB3dE6gH9j-aB3dE6gH9jK2mN5pQ8sT1u"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("uri", "stored"),
    [
        ("https://u:p@Host.test/a?q=1#f", "https://host.test/a"),
        ("https://host.test:443/a", "https://host.test/a"),
        ("https://host.test:8443/a", "https://host.test:8443/a"),
        ("https://auth:8443/a", "https://auth/a"),
        ("wss://host.test/ws?token=x", "wss://host.test/ws"),
        (f"https://h.test/{CODER_TOKEN}/x", "https://h.test/{secret}/x"),
        ("https://h.test/reset/a.b@c.example", "https://h.test/reset/{email}"),
        ("https://h.test/@alice/dev.main/apps/c", "https://h.test/@{user}/{workspace}/apps/c"),
        ("data:text/html,secret", "data"),
        ("blob:https://h.test/1f0b", "blob"),
        ("chrome-extension://abcdefgh/inject.js", "chrome-extension://abcdefgh"),
        ("chrome-extension", "chrome-extension"),
        ("inline", "inline"),
        ("/relative/path?token=1", "/relative/path"),
        ("/p?q=a secret", "/p"),
        ("/path?x=1;jsess=secret", "/path"),
        ("/path;jsess=secret", "/path"),
        ("/path%3Fsid=secret", "/path"),
        ("/path%253Fq=secret", "/path"),
        ("https://h.test/p%25253Fq=secret#x", "https://h.test/p"),
        ("https://h.test/p\uff1fq=secret", "https://h.test/p"),
        ("https://h.test/p%EF%BC%9Fq=secret", "https://h.test/p"),
        ("https://h.test/p\ufe56q=secret", "https://h.test/p"),
        ("https://h.test/p%25EF%25BC%259Fq=secret", "https://h.test/p"),
        ("https://h.test/r%252F%2540alice%252Fdev", "https://h.test/r/@{user}/{workspace}"),
        ("https://h.test/100%25/a%20b", "https://h.test/100%25/a%20b"),
        ("/p%25%33%46q=S", "/p"),
        ("/p%25%32%35%33%46q=S", "/p"),
        ("/p%E2%81%87q=S", "/p"),
        ("/p%EF%B9%96q=S", "/p"),
        ("/a%2525%2532%2535%2532%2535%2532%2535%2534%2531", "/aA"),
        ("/secret%20S", "/secret%20{secret}"),
        ("/a/secret S/x", "/a/secret%20{secret}"),
        ("/token%C2%A0S", "/token%20{secret}"),
        ("/Basic%20c2VjcmV0OlM", "/{secret}"),
        ("/pass%3AS", "/pass:{secret}"),
        ("/%70assword=S", "/password={secret}"),
        ("/u%73ers/alice/%40bob", "/users/{user}/@{user}"),
        ("/caf%C3%A9%C2%85/%E9%EF%BC%82", "/café%C2%85/%E9%22"),
        ("/p%u003Fq=S", "/p"),
        ("/p\\u003fq=S", "/p"),
        ("/p&#x3F;q=S", "/p"),
        ("/pass\u00adword=S", "/password={secret}"),
        ("/p%u00adin=1234", "/pin={secret}"),
        ("/password=%22a%20S%22/x", "/password={secret}"),
        ("/user%5Bpassword%5D=S", "/user%5Bpassword%5D={secret}"),
        ("https://h.test/Users/alice/x", "https://h.test/Users/{user}/x"),
        ("/C:%5CUsers%5Calice%5Cx", "/C:/Users/{user}/x"),
        ("https://alice%3AS%40h.test/x", "https://h.test/x"),
        ("https://alice:80%2FS@h.test/x", "https://h.test/x"),
        ("/to/https://alice:80%2FS@h/x", "/to/https://h/x"),
        ("//user:secret@host/path", "//host/path"),
        ("//host/path?x=1,k=secret", "//host/path"),
        ("https://h.test/to/https://u:p@o.test/x", "https://h.test/to/https://o.test/x"),
        ("https://h.test/to/u:p@o.test/x", "https://h.test/to/o.test/x"),
        ("https://h.test/r%2F@alice%2Fdev", "https://h.test/r/@{user}/{workspace}"),
        ("https://h.test/https%3A%2F%2Fu%3Ap%40i%2Fx", "https://h.test/https://i/x"),
        ("chrome-extension://aapbdbdomjkkjkaonf/x", "chrome-extension://aapbdbdomjkkjkaonf"),
        ("https://h.test/npm/react@18.2.0/x.js", "https://h.test/npm/react@18.2.0/x.js"),
        ("https://h.test/0123456789abcdef01234567/x", "https://h.test/{secret}/x"),
        ("https://h.test/k5fqz2x7m3b4n6p2q7r5t3v4", "https://h.test/{secret}"),
        ("https://h.test/templates/docker", "https://h.test/templates/{template}"),
        ("https://h.test/templates/main.css", "https://h.test/templates/main.css"),
        ("https://h.test//@alice/dev", "https://h.test//@{user}/{workspace}"),
        ("https://h o.example/secret", "https"),
        ("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef:x", "{secret}"),
        ("data:text/html,chromewebdata", "data:text/html,chromewebdata"),
        ("moz-extension://u:p@abcdefgh/x", "moz-extension://abcdefgh"),
        ("https://[::1]:3000/x?y", "https://[::1]:3000/x"),
        ("http://bad:port/x?token=1", "http"),
        ("", ""),
    ],
)
def test_addresses_are_scrubbed(uri: str, stored: str) -> None:
    assert scrubbed_uri(uri) == stored


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/workspaces", "/workspaces"),
        ("/@alice/dev", "/@{user}/{workspace}"),
        ("/@alice/dev/builds/17", "/@{user}/{workspace}/builds/{number}"),
        ("/@alice", "/@{user}"),
        ("/templates/docker", "/templates/{template}"),
        ("/templates/docker/versions/5", "/templates/{template}/versions/{number}"),
        ("/templates/new", "/templates/new"),
        ("/templates/acme/docker", "/templates/{organization}/{template}"),
        ("/templates/acme/docker/workspace", "/templates/{organization}/{template}/workspace"),
        ("/organizations/acme/members/alice", "/organizations/{organization}/members/{user}"),
        ("/organizations/acme/members", "/organizations/{organization}/members"),
        ("/api/v2/users/alice/workspace/dev", "/api/v2/users/{user}/workspace/{workspace}"),
        ("/api/v2/users/me/keys", "/api/v2/users/me/keys"),
        ("/x/0b9f2a7c-1111-4222-8333-444455556666", "/x/{id}"),
        ("/a" * 12, "/a" * 12),
        ("/a" * 13, "/a" * 12 + "/…"),
    ],
)
def test_path_template_has_placeholders(path: str, template: str) -> None:
    assert path_template(path) == template


@pytest.mark.parametrize(
    ("host", "template"),
    [
        ("8080--main--dev--alice.apps.test", "{port}--{agent}--{workspace}--{user}."),
        ("code-server--dev--alice.apps.test", "code-server--{workspace}--{user}."),
        (
            "pre---8080--main--dev--alice.apps.test",
            "{prefix}---{port}--{agent}--{workspace}--{user}.",
        ),
        ("8080--main--dev--alice--x.apps.test", "{port}--{agent}--{workspace}--{user}--{suffix}."),
        ("code--dev--alice", "code--{workspace}--{user}"),
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
        "0123456789abcdef01234567",
        "k5fqz2x7m3b4n6p2q7r5t3v4",
        "jsessionid=DEADBEEF12345678",
        "csrftoken=abcdef",
        '"password": "hunter2"',
        "Authorization: Bearer abcdef",
        "session=hunter2",
        "pass=hunter2",
        "pass\uff1dhunter2",
        "secret hunter2",
        "Password hunter2",
        "api-key 'hunter2'",
        "client_secret%20hunter2",
        "secret is hunter2",
        "session={secret}hunter2",
        "pass%253Dhunter2",
        "password => hunter2",
        "password: ['hunter2",
        "Cookie: a=hunter2",
        "the secret was hunter2",
    ],
)
def test_secrets_are_masked(secret: str) -> None:
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
        "index-4f3a2b1c9d8e7f6a5b4c.js",
        "react@18.2.0",
        "connect-src https://login.example/oauth/token https://api.example",
    ],
)
def test_other_texts_are_not_masked(harmless: str) -> None:
    assert not holds_secret(harmless)


@pytest.mark.parametrize(
    ("policy", "stored"),
    [
        (
            "script-src 'self' 'nonce-r4nd0m' https://u:p@cdn.example.net/x?key=1; report-to csp",
            "script-src 'self' 'nonce-{nonce}' https://cdn.example.net/x; report-to csp",
        ),
        (
            f"report-uri /reports?coder_session_token={CODER_TOKEN}; img-src *",
            "report-uri /reports; img-src *",
        ),
        ("img-src https://h/x?a=1;sid=S,k=S", "img-src https://h/x;{secret}"),
        ("img-src 'nonce-cut", "img-src 'nonce-{nonce}'"),
        ("https://u:p@h/x", "{secret}"),
        ("img-src *; password S1,S2; media-src *", "img-src *; password {secret}; media-src *"),
        ("apikey: hunter2, hunter3;x", "{secret};x"),
        ("img-src apikey:hunter2 h.test", "img-src apikey:{secret} h.test"),
        ("img-src 'password' hunter2", "img-src 'password' {secret}"),
        ("img-src h.test/p%253Fq=S", "img-src h.test/p"),
        (
            "frame-src wss://8080--main--dev--alice.apps.test code--dev--alice.apps.test:8443",
            "frame-src wss://{port}--{agent}--{workspace}--{user}.apps.test "
            "code--{workspace}--{user}.apps.test:8443",
        ),
        (
            "img-src data: blob: *.example /@alice/dev/",
            "img-src data: blob: *.example /@{user}/{workspace}/",
        ),
    ],
)
def test_policy_is_scrubbed(policy: str, stored: str) -> None:
    assert scrubbed_policy(policy) == stored
    assert scrubbed_policy(stored) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Authorization: token S", "Authorization: {secret}"),
        ("authorization=ApiKey S", "authorization={secret}"),
        ("Proxy-Authorization: Negotiate S", "Proxy-Authorization: {secret}"),
        ('Authorization: Digest username="S", r="S"\nHost: h', "Authorization: {secret}\nHost: h"),
        ("with Digest username=S, response=S", "with {secret}"),
        ("NTLM TlRMTVNT", "{secret}"),
        ("Cookie: a=S; b=S", "Cookie: {secret}"),
        ('{"Set-Cookie": "a=S; b=S", "x": 1}', '{"Set-Cookie": "{secret}", "x": 1}'),
        ("password='two S words' x", "password='{secret}' x"),
        (r"{\"pass\": \"two S words\"}", r"{\"pass\": {secret}}"),
        ("&quot;token&quot;:&quot;two S&quot; x", "%22token%22:{secret} x"),
        ('{"password": ["a", "S]"], "x": 1}', '{"password": {secret}, "x": 1}'),
        ("password: {a: {b: 'S'}} x", "password: {secret} x"),
        ("user[password]=S&x", "user[password]={secret}&x"),
        ("user[tokens][token][0]=S", "user[tokens][token][0]={secret}"),
        ("headers['X-Api-Key'] = 'S'", "headers['X-Api-Key'] = '{secret}'"),
        ("X-Api-Key S", "X-Api-Key {secret}"),
        ("access_key=S private_key: S", "access_key={secret} private_key: {secret}"),
        ("AccountKey=S;x", "AccountKey={secret};x"),
        ("auth=S, pin: S, code=S", "auth={secret}, pin: {secret}, code={secret}"),
        ("userPin: 12 login_code: S sig=S", "userPin: {secret} login_code: {secret} sig={secret}"),
        ("the code is 123456", "the code is {secret}"),
        ('<input name="pin" value="S">', '<input name="pin" value="{secret}">'),
        ("<pin>S</pin> x", "<pin>{secret} x"),
        ("password2&#61;S", "password2={secret}"),
        ("pass\u00adword: S", "password: {secret}"),
        ("p\\u00adin\\u003dS", "pin={secret}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nS\nS", "{secret}"),
        ("mapping: 1, author: x, statusCode: 2", "mapping: 1, author: x, statusCode: 2"),
        ("spin 1234 and keyboard=x", "spin 1234 and keyboard=x"),
    ],
)
def test_values_of_secrets_are_masked_to_their_end(text: str, stored: str) -> None:
    assert scrubbed_text(text) == stored
    assert scrubbed_text(stored) == stored
    assert holds_private(text) == (text != stored)


IN_APP = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) [FBAN/FBIOS;FBAV/500.0;FB_IAB/FB4A;]"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("fetch('/x?a=1,sid=S')", "fetch('/x')"),
        ("https://bob:S!x@h.test/p", "https://h.test/p"),
        (f"{IN_APP} https://u:S@h.test/?sid=S", f"{IN_APP} https://h.test/"),
        ("see https://u:S@h.test/?a=1,sid=S;k=S end", "see https://h.test/ end"),
        ("x https://h.test/p;jsess=S", "x https://h.test/p"),
        (r'{"u": "https:\/\/u:S@h.test\/p?x"}', '{"u": "https://h.test/p"}'),
        (
            "wss://8080--main--dev--alice.apps.test",
            "wss://{port}--{agent}--{workspace}--{user}.apps.test",
        ),
        ("at /@alice/dev/ and @alice/dev", "at /@{user}/{workspace}/ and @{user}/{workspace}"),
        ("load(data:text/plain;base64,AAAA)", "load(data:)"),
        ("@media print { a: var(--a--b--c) }", "@media print { a: var(--a--b--c) }"),
        (FIREFOX, FIREFOX),
        (CHROME, CHROME),
        (r"C:\Users\alice\x.js and /home/alice", "C:/Users/{user}/x.js and /home/{user}"),
        ("at %2Fusers%2Falice%2Fkeys", "at /users/{user}/keys"),
        ("see https://h.test/p\uff1fq=S and secret S", "see https://h.test/p and secret {secret}"),
    ],
)
def test_addresses_in_texts_are_scrubbed(text: str, stored: str) -> None:
    assert scrubbed_text(text) == stored
    assert scrubbed_text(stored) == stored


@pytest.mark.parametrize(
    ("directive", "disposition", "stored"),
    [
        ("script-src https://u1:pw@h.test/x?sid=S#f", "enforce", ("script-src", "enforce")),
        ("https://u:S@h.test/", "https://u:S@h/?k=S", ("{secret}", "{secret}")),
        ("", "a@b.c,a@b.c", ("", "{secret}")),
        ("IMG-SRC", "odd", ("IMG-SRC", "odd")),
    ],
)
def test_directive_and_disposition_are_single_words(
    directive: str, disposition: str, stored: tuple[str, str]
) -> None:
    sent = legacy(effective_directive=directive, disposition=disposition)
    columns = scrubbed(parse(sent).violations[0]).columns
    assert (columns["effective_directive"], columns["disposition"]) == stored


_WORDS = r"""
https: // -- -> data: users Users home templates me token 'nonce- {user} {secr {secret} a@b.cc 1234
value session pass apikey code pin Cookie h.test alice 8080 script-src a1b2c3d4e5f6a1b2c3d4e5f6
%40 %253F %2540 %EF%BC%9F %25%33%46 %2F %20 %C2%85 %E2%81%87 25 3F %3A %22 %5B %5D %5c %u003F
\u003f \x40 &#61; &quot; &amp;
"""
_PARTS = (
    *"/@:;,?#= '\".()[]{}`><&\n\\%uSé",
    *_WORDS.split(),
    *("is ", " secret ", "Authorization: ", "Bearer ", "Digest ", "X-Api-Key ", CODER_TOKEN),
    # These have another length after normalization.
    *("\uff1f", "\uff1d", "\u00ad", "\ufdfa", "e\u0301"),
)
_texts = st.lists(st.sampled_from(_PARTS), max_size=12).map("".join)
_long = st.tuples(_texts, st.sampled_from([20, 200, 900])).map(lambda unit: unit[0] * unit[1])


@given(_texts | st.text())
def test_masking_or_decoding_twice_changes_nothing(text: str) -> None:
    assert masked(masked(text)) == masked(text)
    assert decoded(decoded(text)) == decoded(text)
    assert MAY_CHANGE.search(text) or decoded(text) == text


@pytest.mark.parametrize("scrub", [scrubbed_uri, scrubbed_text, scrubbed_policy])
@given(text=_texts | st.text())
def test_audit_finds_nothing_in_what_was_scrubbed(scrub: Callable[[str], str], text: str) -> None:
    assert not holds_private(scrub(text))


@example({"blocked-uri": "%C2%85"})
@example({"blocked-uri": "SK-EXAMPLEEXAMPLE"})
@given(
    st.dictionaries(
        st.sampled_from([name for name in legacy()["csp-report"] if name != "status-code"])
        | _texts,
        _texts | _long | st.lists(_texts, max_size=2) | st.dictionaries(_texts, _texts, max_size=2),
        min_size=1,
        max_size=5,
    )
)
def test_audit_finds_nothing_in_a_report_and_its_group(members: dict[str, Any]) -> None:
    report = scrubbed(parse({"csp-report": members}).violations[0])
    columns = report.columns | dict(zip("db", report.cause, strict=True))
    assert not holds_private_member(json.dumps(columns.pop("other_members")))
    for name, value in columns.items():
        assert not (isinstance(value, str) and holds_private(value)), name


@example("inline?x")
@example("https://auth:8443/x")
@example("//h:443/%C2%85")
@example("000000000000000000000/0        SECRET SECRET ")
@given(_texts | _long | st.text())
def test_address_of_a_stored_text_is_the_same(text: str) -> None:
    found = address_of(text)
    assert address_of(found.text) == found
    assert len(found.text) <= MAX_URI
    assert not any(map(holds_private, (found.origin, found.host, found.path, found.page)))


@pytest.mark.parametrize(("most", "kept"), [(1, ""), (5, "by "), (9, "by "), (20, None)])
def test_text_is_shortened_before_a_word(most: int, kept: str | None) -> None:
    text = "by alice@h.test"
    assert shortened(text, most) == (text if kept is None else kept)


def test_referrer_is_reduced_to_its_origin() -> None:
    for uri, origin in (("https://h.test/@alice/dev?x", "https://h.test"), ("about:blank", "")):
        assert address_of(uri).origin == origin
    assert address_of("about:blank").page == "about"


def test_unknown_members_are_scrubbed_up_to_a_limit() -> None:
    extra = {"a": f"https://h.test/?t={CODER_TOKEN}", CODER_TOKEN: 1, "big": "x " * 4000}
    # Searching the whole name for the name of a secret would take too long.
    assert scrubbed_members({**extra, "x " * 5000: 1}) == {
        "a": "https://h.test/",
        "{secret}": "{secret}",
        "(left out)": 2,
    }


@pytest.mark.parametrize(
    ("member", "stored"),
    [
        ({"https://u:S@h/?q=S": 1}, {"https://h/": 1}),
        ({"x": {"https://u:S@h/?q=S": [1]}}, {"x": {"https://h/": [1]}}),
        ({"x": "say ?a=1,sid=S"}, {"x": "say "}),
        ({"password": "hunter2"}, {"password": "{secret}"}),
        ({"token": ["abc"], "apikey": 17}, {"token": "{secret}", "apikey": "{secret}"}),
        ({"x": {"authorization": "Bearer abc"}}, {"x": {"authorization": "{secret}"}}),
        ({"author": "x", "keyboard": 1}, {"author": "x", "keyboard": 1}),
        (
            {"pass": "x", "session": "y", "passive": 1},
            {"pass": "{secret}", "session": "{secret}", "passive": 1},
        ),
        ({"a": 1e20, "b": [-1e300, 2**63 - 1, 0.5]}, {"a": None, "b": [None, 2**63 - 1, 0.5]}),
    ],
)
def test_unknown_members_are_scrubbed(member: dict[str, Any], stored: dict[str, Any]) -> None:
    assert scrubbed_members(member) == stored


_REPEATED_WORDS = r"""
/@a/b a--b--c. 'nonce- a@ .g é %25 %EF%BC%85 %%32%35 secret%20 %20 %5B1%5D [1] password[ password='
password={ password=\' Cookie: a= - \ \u &# &amp; Users\ " {secret} a a- ://a ://: abcdefghij- ://a:b
"""
_REPEATED = (
    *_REPEATED_WORDS.split(),
    *("//a:b@c ", "token: ", "secret ", "-----BEGIN ", "digest a=", "\u00ad", "\ufdfa"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scrub",
    [scrubbed_uri, scrubbed_text, scrubbed_policy, holds_private, holds_private_member, logs.scrub],
)
def test_scrubbing_is_linear(scrub: Callable[[str], Any]) -> None:
    """Sixteen times the text takes about 16 times the CPU time, and 256 times with backtracking."""

    def work(unit: str, length: int) -> float:
        started = time.thread_time()
        scrub(unit * (length // len(unit)))
        return time.thread_time() - started

    for unit in _REPEATED:
        short = max(work(unit, 5_000), work(unit, 5_001 + len(unit)), 0.0005)
        assert work(unit, 80_000) < 64 * short, unit


def test_normalization_makes_no_text_much_longer() -> None:
    text = "\ufdfa" * 2_000
    assert len(decoded(text)) <= len(text) + MAX_GROWTH
    assert decoded("\ufb01le.js") == "file.js"


def test_address_that_is_escaped_too_often_is_cut() -> None:
    text = "A"
    for _ in range(MAX_ROUNDS + 1):
        text = "".join(f"%{ord(letter):02x}" for letter in text)
    assert scrubbed_uri(f"/p{text}") == "/p"
