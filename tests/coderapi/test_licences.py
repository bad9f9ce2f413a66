"""docs/licences.md lists every installed package with its declared licence."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

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


def test_listed_licence_is_declared_by_the_package() -> None:
    declared = {}
    for package in LOCKED:
        # Some packages are not installed on this kind of machine.
        with suppress(PackageNotFoundError):
            declared[package] = declared_licence(metadata(package))

    assert declared
    assert declared.items() <= LISTED.items()


def declared_licence(about: PackageMetadata) -> str:
    field = about.get("License-Expression") or about.get("License")
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    return field or ", ".join(classifiers)
