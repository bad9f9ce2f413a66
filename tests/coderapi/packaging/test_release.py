"""The files of a release. `.ci/run` builds and installs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bin.release_build import release_notes, software_bill
from bin.release_files import ReleaseError, check_sums, write_sums
from coderapi import __version__
from tests.support.commands import execute
from tests.support.processes import PROJECT

CHANGELOG = """\
# Changelog

## [0.2.0] - 2027-01-31

### Added

- Bells.

## [0.1.0] - 2026-12-01

- Whistles.
"""


@pytest.mark.parametrize(
    ("version", "notes"), [("0.2.0", "### Added\n\n- Bells.\n"), ("0.1.0", "- Whistles.\n")]
)
def test_notes_are_the_section_of_the_release(version: str, notes: str) -> None:
    assert release_notes(CHANGELOG, version) == f"# coderapi {version}\n\n{notes}"
    this = release_notes((PROJECT / "CHANGELOG.md").read_text(), __version__)
    assert "### Added" in this


@pytest.mark.parametrize("changelog", [CHANGELOG, "## [0.3.0]\n\n- x\n", "## 0.3.0 - 2027-01-31\n"])
def test_release_without_a_dated_section_is_rejected(changelog: str) -> None:
    with pytest.raises(ReleaseError, match=r"no heading \"## \[0.3.0\] - YYYY-MM-DD\""):
        release_notes(changelog, "0.3.0")


def test_software_bill_has_all_packages_of_the_lock_file_and_is_reproducible() -> None:
    lock, at = PROJECT / "requirements.lock", datetime(2026, 12, 1, tzinfo=UTC)
    text = software_bill(lock, at=at)
    assert text == software_bill(lock, at=at)
    bill = json.loads(text)
    pinned = {
        tuple(line.split(" ")[0].split("=="))
        for line in lock.read_text().splitlines()
        if "==" in line
    }
    assert {(each["name"], each["version"]) for each in bill["components"]} == pinned
    assert all(each["hashes"] for each in bill["components"])
    assert bill["metadata"]["component"]["version"] == __version__


def list_another(file: Path) -> None:
    """Replaces the file's line with one of a file outside the directory."""
    other = file.parent.parent / "other"
    other.write_text("wheel")
    sums = file.with_name("SHA256SUMS")
    sums.write_text(sums.read_text().replace(file.name, "../other"))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("x"),
        lambda file: file.with_name("requirements.lock").write_text("planted"),
        lambda file: file.with_name("SHA256SUMS").write_text(""),
        list_another,
    ],
)
def test_changed_file_of_a_release_is_found(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    file = tmp_path / "coderapi.whl"
    file.write_text("wheel")
    write_sums(tmp_path)
    file.with_name("SHA256SUMS.asc").write_text("signature")
    check_sums(tmp_path)
    change(file)
    with pytest.raises(ReleaseError, match="missing, or is not the file"):
        check_sums(tmp_path)


def test_directory_without_sums_is_no_release(tmp_path: Path) -> None:
    for content in (None, b"\xff"):
        if content:
            (tmp_path / "SHA256SUMS").write_bytes(content)
        with pytest.raises(ReleaseError, match="is no built release"):
            check_sums(tmp_path)
    # The program of this checkout runs, whatever the directory has.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "__init__.py").touch()
    (tmp_path / "bin" / "releasing.py").write_text("print('the program of another checkout')")
    done = execute([PROJECT / "bin" / "release", "check", "nothing"], cwd=tmp_path)
    assert "is no built release" in done.stderr
