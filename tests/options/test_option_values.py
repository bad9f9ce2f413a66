"""What each type of option value accepts, rejects and formats."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml import MappingNode, Node

from kernel.text.durations import format_duration
from options.redaction import without_secrets
from options.values.addresses import Address, HostPort
from options.values.base import ValueRefusedError, ValueType
from options.values.lists import TextList, parse_record
from options.values.scalars import Bool, Choice, Duration, Integer, Regexp, Size, Text
from options.values.structs import ExternalAuth, Links, TextListMap, TextMap
from options.values.urls import URL, ParsedURL, parse_url, without_password
from options.values.yaml_text import read_document

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


def node(yaml: str) -> Node:
    """Returns the value's node in a YAML file."""
    root = read_document(f"key: {yaml}\n")[0]
    assert isinstance(root, MappingNode)
    (_, found), *_ = root.value
    assert isinstance(found, Node)
    return found


def cases(value_type: ValueType[Any], *values: Any) -> list[tuple[Any, ...]]:
    """Prepends the type to each value, or to each pair of a text and its value."""
    return [(value_type, *(value if isinstance(value, tuple) else (value,))) for value in values]


POSITIVE, ANY_CASE = Integer(minimum=1), Choice(("lax", "none"))
LINK = {"name": "n", "target": "t", "icon": "bug", "location": ""}


@pytest.mark.parametrize(
    ("value_type", "text", "expected"),
    [
        *cases(Bool(), *((text, True) for text in ("1", "t", "T", "true", "TRUE", "True"))),
        *cases(Bool(), *((text, False) for text in ("0", "f", "F", "false", "FALSE", "False", ""))),
        *cases(Integer(), ("7", 7), ("+7", 7), ("-007", -7), ("9223372036854775807", 2**63 - 1)),
        *cases(Integer(), ("-9223372036854775808", -(2**63))),
        *cases(Text(), ("", ""), (" any\ttext ", " any\ttext ")),
        *cases(Size(), ("0", 0), ("512MiB", 2**29), ("1.5TiB", 3 * 2**39), ("7B", 7)),
        *cases(Duration(), ("0", 0), ("-0", 0), ("1.5d", 36 * HOUR), ("-1d", -24 * HOUR)),
        *cases(Duration(), ("+.5s", SECOND // 2), ("1.s", SECOND), ("2h1d", 26 * HOUR)),
        *cases(Duration(), ("1h1h", 2 * HOUR), ("2w", 336 * HOUR), ("60d", 60 * 24 * HOUR)),
        *cases(Duration(), ("1us", 1_000), ("1\u00b5s", 1_000), ("1\u03bcs", 1_000)),
        *cases(Duration(), ("876600h0m0s", 876_600 * HOUR), ("9223372036854775807ns", 2**63 - 1)),
        *cases(Duration(), ("-9223372036854775808ns", -(2**63))),
        *cases(
            Duration(), ("3 days", 72 * HOUR), ("1 week", 168 * HOUR), ("1.5 hours", 5400 * SECOND)
        ),
        *cases(Duration(), ("2 hours 30 minutes", 9000 * SECOND), ("1second", SECOND)),
        *cases(Address(), ("127.0.0.1:3000", HostPort("127.0.0.1", "3000"))),
        *cases(Address(), ("host:", HostPort("host", "")), (":http", HostPort("", "http"))),
        *cases(Address(), ("[::1]:80", HostPort("::1", "80")), (":", HostPort("", ""))),
        *cases(TextList(), ("", None), ("\n", None), ("a", ["a"]), ("a, b", ["a", " b"])),
        *cases(TextList(), (",", ["", ""]), ("a,", ["a", ""]), ("a\nb", ["a"]), ('""', [""])),
        *cases(TextList(), ("\r\n\na\r\nb", ["a"]), ('"a,b",c', ["a,b", "c"])),
        *cases(TextList(), ('"a""b"', ['a"b']), ('"a\nb",c\nd', ["a\nb", "c"])),
        *cases(ANY_CASE, ("LAX", "LAX")),
        *cases(Regexp(), *((text, text) for text in ("", "^team-.*$", r"\\C", r"\Q\C\E"))),
        *cases(TextMap(), ("", None), ("null", None), ("{}", {}), ("a: b", {"a": "b"})),
        *cases(TextMap(), ("{n: 1, t: true, e: null}", {"n": "1", "t": "true", "e": ""})),
        *cases(TextListMap(), ("{a: [b, 1], c: null}", {"a": ["b", "1"], "c": None})),
        *cases(Links(), ("[]", None), ("- {name: n, target: t, icon: bug, unknown: x}", [LINK])),
    ],
)
def test_text_is_parsed(value_type: ValueType[object], text: str, expected: object) -> None:
    assert value_type.parse(text) == expected


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        *cases(Bool(), "yes", "on", "tRue", " true", "2", "null"),
        *cases(Integer(), "", "0x10", "1_000", "1.5", " 1", "1e3", "\u0663", "--1", "9" * 5_000),
        *cases(Integer(), "9223372036854775808"),
        *cases(POSITIVE, "0"),
        *cases(Integer(minimum=1, maximum=100), "101"),
        *cases(Duration(), "", "5", "1.5", "1 h", "1y", "days", "3 dayss", "1 month", "1D", "s"),
        *cases(Duration(), ".", "-", ".s", "1h5"),
        *cases(Size(), "", "10", "-1GiB", "1GB", "1gib", "9999999TiB", "1 GiB"),
        *cases(Duration(), "9223372036854775808ns", "9" * 1_100_000 + "h"),
        *cases(Address(), "", "host", "::1", "[::1]", "[::1", "a:b:c", "[::1]x:80"),
        *cases(Address(), "[::1]:80:90", "a]:80", "a[:80", "[a[b]:80", "[a]]:80"),
        *cases(TextList(), 'a"b', '"a', '"a"b', 'a,"b', '"a" ,b'),
        *cases(ANY_CASE, "", "strict"),
        *cases(Regexp(), "(", "(?=x)", r"(a)\1", "a{1001}"),
        *cases(TextMap(), "[1]", "word", "{a: {b: c}}", "{a: [b]}", "{a: &x b, c: *x}", "{"),
        *cases(TextMap(), "{a: b, a: c}", "{a: !!binary b}", "--- a\n--- b"),
        *cases(TextListMap(), "{a: b}"),
        *cases(Links(), "{}", "word", '"[]"', "[word]", "[{name: [x]}]"),
        *cases(ExternalAuth(), "[{device_flow: perhaps}]", "[{scopes: a}]"),
    ],
)
def test_invalid_text_is_rejected(value_type: ValueType[object], text: str) -> None:
    with pytest.raises(ValueRefusedError):
        value_type.parse(text)


@pytest.mark.parametrize(
    ("value_type", "yaml", "expected"),
    [
        *cases(Bool(), ('"true"', True), ("", False)),
        *cases(Integer(), ('"7"', 7)),
        *cases(Text(), *((text, text) for text in ("null", "~", "0x10", ""))),
        *cases(Text(), ("|\n  two\n  lines", "two\nlines\n")),
        *cases(Duration(), ("0", 0), ("7d", 168 * HOUR)),
        *cases(URL(), ("", ParsedURL()), ("null", ParsedURL(path="null"))),
        *cases(TextList(), ("[a, 1, true, null]", ["a", "1", "true", "null"])),
        *cases(TextList(), ("a,b", ["a", "b"]), ("[]", None), ("", None)),
        *cases(Regexp(), ("", "")),
        *cases(TextMap(), ("", None), ("{a: b}", {"a": "b"})),
        *cases(Links(), ("", None), ("[]", None)),
    ],
)
def test_yaml_is_parsed(value_type: ValueType[object], yaml: str, expected: object) -> None:
    assert value_type.read(node(yaml)) == expected


@pytest.mark.parametrize(
    ("value_type", "yaml"),
    [
        *cases(Bool(), "yes", "on", "null", "[true]", "{a: b}"),
        *cases(Integer(), "", "0x10", "1e3", "7.0"),
        *cases(POSITIVE, "0"),
        *cases(Text(), "[a]", "{a: b}"),
        *cases(Duration(), ""),
        *cases(Address(), ""),
        *cases(TextList(), "[[a]]", "{a: b}"),
        *cases(ANY_CASE, ""),
        *cases(TextMap(), '"{a: b}"'),
        *cases(Links(), '"[]"'),
    ],
)
def test_invalid_yaml_is_rejected(value_type: ValueType[object], yaml: str) -> None:
    with pytest.raises(ValueRefusedError):
        value_type.read(node(yaml))


def test_error_in_a_struct_has_its_place() -> None:
    with pytest.raises(ValueRefusedError) as refused:
        ExternalAuth().parse("- device_flow: true\n- device_flow: perhaps\n")
    assert "[1].device_flow" in refused.value.problem
    assert refused.value.shown == "perhaps"
    assert str(refused.value.place) == "2:16"


def test_lists_and_maps_are_merged() -> None:
    merged: list[str] | None = None
    # An empty text clears a list.
    for text in ("a", "", "b", "c,d"):
        merged = TextList().merge(merged, TextList().parse(text))
    assert merged == ["b", "c", "d"]
    assert parse_record("," * 200_000) == [""] * 200_001
    assert TextMap().merge({"a": "1", "b": "2"}, {"b": "3"}) == {"a": "1", "b": "3"}
    assert TextMap().merge({"a": "1"}, None) == {"a": "1"}


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        *[(0, "0s"), (1, "1ns"), (1_100, "1.1\u00b5s"), (SECOND // 10, "100ms"), (-SECOND, "-1s")],
        *[(3 * SECOND // 2, "1.5s"), (60 * SECOND, "1m0s"), (HOUR, "1h0m0s")],
        *[(3 * HOUR // 2, "1h30m0s"), (168 * HOUR, "168h0m0s")],
        (2**63 - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations_are_formatted_as_in_go(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


HTTP = {"scheme": "http", "host": "h"}


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        *[(text, {"path": text}) for text in ("a.example.com", "/rel", "*")],
        ("localhost:3000", {"scheme": "localhost", "opaque": "3000"}),
        ("mailto:a@b", {"scheme": "mailto", "opaque": "a@b"}),
        ("HTTPS://H/", {"scheme": "https", "host": "H", "path": "/"}),
        ("//h/p", {"host": "h", "path": "/p"}),
        ("http:/p", {"scheme": "http", "path": "/p", "omit_host": True}),
        ("file:///p", {"scheme": "file", "path": "/p"}),
        ("http://h?", {**HTTP, "force_query": True}),
        ("http://h?a?b", {**HTTP, "raw_query": "a?b"}),
        ("http://h/a%2Fb", {**HTTP, "path": "/a/b", "raw_path": "/a%2Fb"}),
        ("http://h/a!", {**HTTP, "path": "/a!", "raw_path": "/a!"}),
        ("http://h/a%20b", {**HTTP, "path": "/a b"}),
        ("http://h#a%20b", {**HTTP, "fragment": "a b"}),
        ("http://h#a%2f", {**HTTP, "fragment": "a/", "raw_fragment": "a%2f"}),
        ("http://u:p%40@h:1", {**HTTP, "userinfo": "u:p%40", "host": "h:1"}),
        ("http://u@h", {**HTTP, "userinfo": "u"}),
        ("http://[::1]:80", {**HTTP, "host": "[::1]:80"}),
        ("http://[fe80::1%25en0]", {**HTTP, "host": "[fe80::1%en0]"}),
        ("http://h%C3%A4", {**HTTP, "host": "h\u00e4"}),
    ],
)
def test_url_members(text: str, members: dict[str, object]) -> None:
    url = dataclasses.asdict(parse_url(text))
    assert {name: item for name, item in url.items() if item not in ("", False, None)} == members


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1:3000", "::x", ":", "1:b/c", "http://a b/", "http://h:port/"),
        *("http://h/%zz", "http://h/%2", "http://h%41/", "http://h#%", "http://h/\x7f"),
        "http://h/\n",
        *("http://[::1/", "http://::1]/", "http://[1.2.3.4]/", "http://[::1]x/", "http://u{:p@h/"),
        *("http://[%3a%3a1]/", f"http://{'\u0e2b' * 200}:80x/"),
    ],
)
def test_malformed_url_is_rejected(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        *[("HTTP://H", "http://H"), ("http://h/\u00e4", "http://h/%C3%A4")],
        *[(text, text) for text in ("http://h/a%2Fb!", "http://h?#f", "http://u:p%40@h")],
        *[(text, text) for text in ("http:///p", "http:/p", "a%3Ab", "http://[fe80::1%25en0]/")],
    ],
)
def test_url_is_formatted_as_in_go(text: str, printed: str) -> None:
    assert str(parse_url(text)) == printed


@given(st.text(st.sampled_from("aZ0:/?#[]@!$%2F4 +.-_~\u00e4\\\"'"), max_size=20))
def test_urls_round_trip(text: str) -> None:
    try:
        url = parse_url(f"http://h/{text}")
    except ValueRefusedError:
        return
    assert str(parse_url(str(url))) == str(url)


@pytest.mark.parametrize("text", ["ftp://h", "h", "//h", "localhost:3000"])
def test_url_with_another_scheme_is_rejected(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        URL(schemes=("http", "https")).parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("http://user:MARKER@h/p", "see http://user:MARKER@h/ and https://:MARKER@h"),
        *("postgres://user:MARK/MARKER@h/db", "http://user:MARKER@MARKER@h"),
    ],
)
def test_password_in_a_url_is_masked(text: str) -> None:
    assert "MARKER" not in without_password(text)


@pytest.mark.parametrize(
    "text", ["https://docs.example.com:443/@v2", "http://user@h/", "a@b.c", "http://h:80?x=a:b@c"]
)
def test_text_without_a_password_is_unchanged(text: str) -> None:
    assert without_password(text) == text


def test_secrets_are_removed_at_any_depth() -> None:
    url = parse_url("https://user:MARKER@h/p?next=https://x:MARKER@y")
    value = [{"client_secret": "MARKER", "id": "x", "auth_url": "https://u:MARKER@h"}, url]
    shown = without_secrets({"inner": value})
    assert "MARKER" not in f"{shown} {shown['inner'][1]}"
    assert shown["inner"][0]["id"] == "x"
    assert "MARKER" not in repr(url)
