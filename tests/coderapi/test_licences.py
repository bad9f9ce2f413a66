"""docs/licences.md lists every installed package with its declared licence."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from coderapi.settings import BASE_DIR

LOCKED = re.findall(
    r"^([\w.-]+)==", (BASE_DIR / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
)
LISTED = dict(
    re.findall(
        r"^\| ([\w.-]+) \| (.+) \|$",
        (BASE_DIR / "docs" / "licences.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


def test_list_has_the_packages_of_the_lock_file() -> None:
    assert sorted(name for name in LISTED if name != "package") == sorted(LOCKED)


@pytest.mark.parametrize("package", LOCKED)
def test_listed_licence_is_declared_by_the_package(package: str) -> None:
    try:
        declared = metadata(package)
    except PackageNotFoundError:
        pytest.skip("not installed on this kind of machine")
    field = declared.get("License-Expression") or declared.get("License")
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in declared.get_all("Classifier") or []
        if line.startswith("License ::")
    ]

    assert LISTED[package] == (field or ", ".join(classifiers))
