"""The releases of Coder, and the differences between them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kernel.coder import running as running_coder
from kernel.coder.releases import (
    CATALOGUE,
    ENFORCES_SCOPES,
    EXPIRES_TOKENS,
    NEWEST,
    OLDEST,
    Release,
    Rule,
    last_use,
)
from kernel.release import ROOT
from options.catalogue import OWN_OPTIONS
from tests.support.processes import PACKAGES

SOURCE = "v0.0.0-devel+5bd9cd1"


@pytest.mark.parametrize(
    ("version", "shown", "from_source"),
    [
        ("v2.34.1+5bd9cd1", "2.34.1", False),
        ("2.25.0", "2.25.0", False),
        ("v2.35.0-rc.1+abc", "2.35.0-rc.1", False),
        (SOURCE, "0.0.0-devel+5bd9cd1", True),
        ("v2.33.0-devel+5bd9cd1", "2.33.0-devel+5bd9cd1", True),
        ("0.0.0", "0.0.0", True),
    ],
)
def test_release_has_a_name(version: str, shown: str, from_source: bool) -> None:
    release = Release.parse(version)
    assert str(release) == shown
    assert release.is_from_source is from_source
    assert release.is_at_least(NEWEST) is from_source


@pytest.mark.parametrize(
    ("version", "applies"),
    [
        *[("v2.25.0", False), ("v2.28.9+x", False), ("v2.29.0", True), ("v2.100.0", True)],
        # An unknown version, and a build from source, count as the newest release.
        *[(SOURCE, True), ("", True), ("unknown", True)],
    ],
)
def test_rule_applies_from_a_release_on(version: str, applies: bool) -> None:
    assert EXPIRES_TOKENS.applies_to(version) is applies


@pytest.mark.parametrize("rule", [EXPIRES_TOKENS, ENFORCES_SCOPES])
def test_rules_are_about_supported_releases(rule: Rule) -> None:
    assert Release.parse(OLDEST).version < Release.parse(rule.since).version
    assert Release.parse(rule.since).version <= Release.parse(NEWEST).version


def test_default_version_is_the_release_of_the_catalogue() -> None:
    (option,) = [each for each in OWN_OPTIONS if each.env == "CODERAPI_CODER_VERSION"]
    assert option.default == CATALOGUE == "2.34.1"


def test_no_other_module_compares_versions() -> None:
    """Other modules may check whether a text is a version, and one compares our own releases."""
    compares = re.compile(r"semver\.Version(?!\.is_valid)")
    paths = [path for app in PACKAGES for path in (ROOT / app).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in paths if compares.search(path.read_text())}
    assert found - {"deployment/own_releases.py"} == {"kernel/coder/releases.py"}


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05+00:00"),
    ],
)
def test_never_has_two_forms(text: str, used: str | None) -> None:
    time = last_use(text)
    assert (str(time) if time else None) == used


@pytest.mark.parametrize(
    ("version", "release", "build"),
    [
        ("v2.34.1+5bd9cd1", "2.34.1", "v2.34.1+coderapi.1.2.3"),
        (SOURCE, "0.0.0-devel+5bd9cd1", "v0.0.0-devel+5bd9cd1.coderapi.1.2.3"),
        ("", "", ""),
        ("<html>", "", ""),
    ],
)
def test_running_release_is_that_of_the_source(
    version: str, release: str, build: str, settings: Any
) -> None:
    settings.CODER_VERSION, settings.VERSION = "2.30.0", "1.2.3"
    assert running_coder.running() == "2.30.0"
    running_coder.use_source(lambda: version)
    try:
        assert (running_coder.running(), running_coder.running_build()) == (release, build)
    finally:
        running_coder.use_source(None)
