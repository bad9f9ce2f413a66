"""Checks the HTML of a page against its own policy, and for fields without labels."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from django.utils.html import strip_tags

NAMED_OTHERWISE = frozenset({"hidden", "submit"})


class Markup(HTMLParser):
    """Collects inline scripts and styles, fields, labels and ids of a page."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        nonce = re.search(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"])
        self.nonce = nonce[1] if nonce else ""
        self.inline: list[str] = []
        self.fields: list[dict[str, str | None]] = []
        self.labels: set[str | None] = set()
        self.ids: list[str] = []
        self.feed(answer.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "style" in given or any(name.startswith("on") for name in given):
            self.inline.append(self.get_starttag_text() or tag)
        is_inline = tag == "style" or (tag == "script" and "src" not in given)
        if is_inline and given.get("nonce") != self.nonce:
            self.inline.append(self.get_starttag_text() or tag)
        if tag in {"input", "select", "textarea"} and given.get("type") not in NAMED_OTHERWISE:
            self.fields.append(given)
        if tag == "label":
            self.labels.add(given.get("for"))
        if given.get("id"):
            self.ids.append(str(given["id"]))


def text_in(answer: Any) -> str:
    """Returns the words of a page, with one space between them."""
    return " ".join(strip_tags(answer.content.decode().replace("<", " <")).split())


def forbidden_in(answer: Any) -> list[str]:
    """Returns the inline parts of the page that its policy forbids."""
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "report-uri /api/v2/csp/reports" in policy
    return Markup(answer).inline


def unlabelled_in(answer: Any) -> list[str]:
    """Returns fields without a label, duplicate ids, and references to missing ids."""
    page = Markup(answer)
    nameless = [
        str(field.get("name"))
        for field in page.fields
        if field.get("id") not in page.labels and not field.get("aria-label")
    ]
    twice = [name for name in page.ids if page.ids.count(name) > 1]
    described = " ".join(field.get("aria-describedby") or "" for field in page.fields).split()
    return nameless + twice + [name for name in described if name not in page.ids]
