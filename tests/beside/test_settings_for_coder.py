"""The settings for Coder in documents and messages have the form that Coder accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kernel.release import ROOT
from options.catalogue import CATALOGUE
from options.option import Option, by_env, by_file_variable
from options.values.base import ValueRefusedError
from options.values.lists import TextList
from options.values.scalars import Text

OPTIONS = by_env(CATALOGUE)
# Variables of Coder's command line, and of the examples.
OTHERS = {"CODER_URL", "CODER_SESSION_TOKEN", "CODER_DATABASE", *by_file_variable(CATALOGUE)}
SETTING = re.compile(r"""\b(CODER_[A-Z0-9_]+)=("[^"]*"|[^\s`"'),;]*)""")
SOURCES = ("docs/*.md", "README.md", ".env.example", "beside/**/*.py", "csp/**/*.py")


def settings_in(text: str) -> Iterator[tuple[str, str]]:
    """Yields the names and values, except values with a part that is only known at runtime."""
    for name, value in SETTING.findall(text):
        if "{" not in value:
            yield name, value.strip('"')


FOUND = sorted(
    {
        (str(path.relative_to(ROOT)), *setting)
        for pattern in SOURCES
        for path in ROOT.glob(pattern)
        for setting in settings_in(path.read_text(encoding="utf-8"))
    }
)


def is_strict(option: Option, text: str) -> bool:
    """Returns whether Coder accepts the text. coderapi also accepts other forms of some values."""
    try:
        value = option.type.parse(text)
    except ValueRefusedError:
        return False
    if not isinstance(option.type, Text | TextList) or option.type.rule is None:
        return True
    items = value if isinstance(value, list) else [value]
    return option.type.format(value) == text and all(
        option.type.rule.normalize(item) == item for item in items
    )


@pytest.mark.parametrize(("file", "name", "text"), FOUND)
def test_setting_has_the_form_that_coder_accepts(file: str, name: str, text: str) -> None:
    assert name in OTHERS or name in OPTIONS, file
    # In .env.example, an empty value means that the option is not set.
    if name in OPTIONS and text:
        assert is_strict(OPTIONS[name], text), f"{file}: {name}={text}"


def test_every_kind_of_source_has_settings() -> None:
    files = {file for file, _, _ in FOUND}
    assert {".env.example", "docs/beside-coder.md", "beside/checks/coder_options.py"} <= files
    assert ("docs/beside-coder.md", "CODER_PROXY_TRUSTED_ORIGINS", "127.0.0.1/32") in FOUND


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("CODER_PROXY_TRUSTED_ORIGINS", "127.0.0.1", False),
        ("CODER_PROXY_TRUSTED_ORIGINS", "127.0.0.1/32,::1/128", True),
        ("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8,192.168.0.1", False),
        ("CODER_SAMESITE_AUTH_COOKIE", "strict", False),
        ("CODER_SECURE_AUTH_COOKIE", "yes", False),
        ("CODER_MAX_ADMIN_TOKEN_LIFETIME", "720h", True),
    ],
)
def test_only_forms_that_coder_accepts_are_strict(name: str, text: str, accepted: bool) -> None:
    assert is_strict(OPTIONS[name], text) is accepted
