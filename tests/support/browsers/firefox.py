"""A real Firefox, driven by its own protocol Marionette over a socket, without geckodriver."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import DEADLINE_SECONDS, wait_for

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
REQUIRED = os.environ.get("CI_REQUIRES_FIREFOX") == "1"

needs_firefox = pytest.mark.skipif(
    not FIREFOX and not REQUIRED, reason="Firefox is not installed (firefox-esr)"
)

# With the port 0, Firefox chooses a free port and writes it to the profile. Marionette itself turns
# off whatever uses the network in the background.
PREFERENCES: Mapping[str, Any] = {"marionette.port": 0, "network.proxy.type": 0}
PORT_FILE = "MarionetteActivePort"


class Firefox:
    """One window. Has the methods of `Browser` that tests of reports need."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("rb")
        self._commands = 0
        self._read()  # The greeting.
        self._command("WebDriver:NewSession", acceptInsecureCerts=True)

    def open(self, url: str) -> None:
        """Loads a page, and returns when it is complete."""
        self._command("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs the script in the page and returns its result. `arguments` has its arguments."""
        return self._command("WebDriver:ExecuteScript", script=script, args=arguments)["value"]

    def add_extension(self, path: Path) -> None:
        """Installs the extension until the end of the browser."""
        self._command("Addon:Install", path=str(path), temporary=True)

    def close(self) -> None:
        self._command("Marionette:Quit", flags=["eForceQuit"])
        self._answers.close()

    def _command(self, name: str, **parameters: Any) -> Any:
        """Sends a command, and returns its result. Source: Firefox, remote/marionette."""
        self._commands += 1
        message = json.dumps([0, self._commands, name, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, f"{name}: {error['message'] or error['error']}"
        return result

    def _read(self) -> Any:
        """Reads a message: its length, a colon, and JSON."""
        length = b""
        while (character := self._answers.read(1)) != b":":
            assert character, "Firefox closed the connection"
            length += character
        return json.loads(self._answers.read(int(length)))


@contextmanager
def browsing_firefox(profile: Path) -> Iterator[Firefox]:
    """Opens a window of a new Firefox, which has the profile to itself."""
    assert FIREFOX, "CI_REQUIRES_FIREFOX is 1, and Firefox is not installed"
    profile.mkdir()
    lines = (f"user_pref({json.dumps(n)}, {json.dumps(v)});\n" for n, v in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))
    process = subprocess.Popen(
        [FIREFOX, "--headless", "--no-remote", "--marionette", "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )
    try:
        port = wait_for(lambda: _port(profile))
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as connection:
            browser = Firefox(connection)
            try:
                yield browser
            finally:
                browser.close()
        process.wait(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait(timeout=DEADLINE_SECONDS)


def _port(profile: Path) -> int:
    """Returns the port of Marionette, or 0 before Firefox listens."""
    try:
        return int((profile / PORT_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def make_extension(path: Path, files: Mapping[str, str]) -> Path:
    """Writes an extension that runs `content.js` in every page. Returns its path.

    Pages may load the other files.
    """
    manifest = {
        "manifest_version": 2,
        "name": "Test",
        "version": "1.0",
        "browser_specific_settings": {"gecko": {"id": "test@example.com"}},
        "content_scripts": [{"matches": ["<all_urls>"], "js": ["content.js"]}],
        "web_accessible_resources": sorted(files),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {"manifest.json": json.dumps(manifest), **files}.items():
            archive.writestr(name, text)
    return path
