"""The data directory: its path, its mode, and its secrets."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coderapi.postgres import PostgresError
from coderapi.postgres.datadir import data_dir, ensure, secret, write_private

ORDINARY, ROOT = 1000, 0


@pytest.mark.parametrize(
    ("user", "environment", "expected"),
    [
        (ROOT, {}, "/var/lib/coderapi"),
        (ROOT, {"XDG_DATA_HOME": "/home/alice/data"}, "/var/lib/coderapi"),
        (ORDINARY, {"XDG_DATA_HOME": "/home/alice/data"}, "/home/alice/data/coderapi"),
        (ORDINARY, {"XDG_DATA_HOME": "relative"}, "/home/alice/.local/share/coderapi"),
        (ORDINARY, {}, "/home/alice/.local/share/coderapi"),
        (ORDINARY, {"CODERAPI_DATA_DIR": "~/x", "XDG_DATA_HOME": "/y"}, "/home/alice/x"),
        (ROOT, {"CODERAPI_DATA_DIR": "/srv/coderapi"}, "/srv/coderapi"),
        (ROOT, {"CODERAPI_DATA_DIR": ""}, "/var/lib/coderapi"),
    ],
)
def test_variable_overrides_the_default_directory(
    monkeypatch: pytest.MonkeyPatch, user: int, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("HOME", "/home/alice")
    assert data_dir(environment) == Path(expected)


def test_new_directory_is_closed_to_other_users_and_an_existing_one_keeps_its_mode(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir(mode=0o750)
    # For root, PostgreSQL runs as another account, which must enter it.
    new = 0o711 if os.geteuid() == 0 else 0o700
    for name, mode in (("share/coderapi", new), ("data", 0o750)):
        assert ensure(tmp_path / name).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_file_in_its_place_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(PostgresError, match="CODERAPI_DATA_DIR"):
        ensure(tmp_path / "data" / inside)


def test_secret_is_created_once_for_all_processes(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(lambda _: secret(tmp_path, "key", secrets.token_hex), range(32)))
    assert len(got) == 1
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("kept", [b"", b"\xff\xfe"])
def test_secret_without_text_is_refused(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "key").write_bytes(kept)
    with pytest.raises(PostgresError, match="is empty or not UTF-8"):
        secret(tmp_path, "key", secrets.token_hex)


def test_file_is_replaced_without_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some file systems lack hard links."""
    monkeypatch.delattr(os, "link")
    for text in ("old", "new"):
        write_private(tmp_path / "key", text)
        assert [file.read_text() for file in tmp_path.iterdir()] == [text]


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PostgresError, match="CODERAPI_DATA_DIR"):
        write_private(tmp_path / "file" / "key", "text")
