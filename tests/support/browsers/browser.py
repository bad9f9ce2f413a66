"""A real Chromium, driven by ChromeDriver through W3C WebDriver over HTTP."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import DEADLINE_SECONDS, free_port, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")
REQUIRED = os.environ.get("CI_REQUIRES_CHROMIUM") == "1"

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER) and not REQUIRED,
    reason="Chromium and ChromeDriver are not both installed",
)

# The sandbox needs rights that a container lacks. The other flags keep Chromium off the network.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
# Made once, because each opener reads all certificates of the system.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# The roles of controls. Screen readers announce the name of a control.
CONTROLS = frozenset({"button", "checkbox", "combobox", "link", "searchbox", "textbox"})


class Browser:
    """One window."""

    def __init__(self, driver: str, session: str) -> None:
        self._session = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        """Loads a page, and returns when it is complete."""
        self._post("/url", {"url": url})

    @property
    def address(self) -> str:
        return str(_call(f"{self._session}/url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs the script in the page and returns its result. `arguments` has its arguments."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def type_into(self, selector: str, text: str) -> None:
        self._post(f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._post(f"/element/{self._find(selector)}/click", {})

    def sign_in(self, name: str, password: str, *, next_page: str) -> None:
        """Fills in the open sign-in form, and returns when the window shows the next page."""
        self.type_into("#id_name", name)
        self.type_into("#id_password", password)
        self.click("#content [type=submit]")
        wait_for(lambda: self.address == next_page)

    def console(self) -> list[str]:
        """Returns the messages since the last call."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def violations(self) -> list[str]:
        """Returns the messages about violated policies since the last call."""
        return [text for text in self.console() if "Content Security Policy" in text]

    def resize(self, width: int, height: int) -> None:
        """Gives the page this size in CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, scheme: str) -> None:
        """Sets the preferred color scheme: `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", {"features": features})

    def command(self, name: str, parameters: dict[str, Any]) -> Any:
        """Sends a command of the Chrome DevTools Protocol."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(_call(f"{self._session}/screenshot")))

    def close(self) -> None:
        _call(self._session, method="DELETE")

    def _find(self, selector: str) -> str:
        found = self._post("/element", {"using": "css selector", "value": selector})
        return str(next(iter(found.values())))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return _call(f"{self._session}{path}", body)


# Closed details count too.
AXE = (
    "for (const each of document.querySelectorAll('details')) each.open = true;"
    "return axe.run(document, {resultTypes: ['violations']}).then(result => "
    "result.violations.map(rule => `${rule.id}: ${rule.nodes[0].html}`))"
)


def inaccessible(browser: Browser) -> list[str]:
    """Returns the rules of axe-core that the page breaks, each with an element as an example."""
    axe = pytest.importorskip("axe_core_python")
    # A page keeps axe, because loading it takes longer than its rules do.
    found = browser.run(f"if (!window.axe) return null; {AXE}")
    if found is None:
        source = (Path(axe.__file__).parent / "axe.min.js").read_text()
        found = browser.run(f"{source}window.axe = axe; {AXE}")
    return list(found)


def nameless(browser: Browser) -> list[str]:
    """Returns the controls that have no name in Chromium's accessibility tree."""
    nodes = browser.command("Accessibility.getFullAXTree", {})["nodes"]
    return [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node["role"]["value"] in CONTROLS
        and not node.get("name", {}).get("value")
    ]


@contextmanager
def browsing(profile: Path, *, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """Opens a window of a new browser, which has the profile to itself."""
    assert CHROMIUM, "CI_REQUIRES_CHROMIUM is 1, and Chromium is not installed"
    assert CHROMEDRIVER, "CI_REQUIRES_CHROMIUM is 1, and ChromeDriver is not installed"
    port = free_port()
    process = subprocess.Popen(
        [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    driver = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _is_ready(driver))
        browser = _new_window(driver, [*FLAGS, *flags, f"--user-data-dir={profile}"])
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_SECONDS)


def _is_ready(driver: str) -> bool:
    try:
        return bool(_call(f"{driver}/status")["ready"])
    except OSError:
        return False


def _new_window(driver: str, arguments: list[str]) -> Browser:
    wanted = {
        "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
        "acceptInsecureCerts": True,
        # "implicit" is the time to wait for an element that a script has yet to add.
        "timeouts": dict.fromkeys(("script", "implicit"), int(DEADLINE_SECONDS * 1000)),
    }
    made = _call(f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
    return Browser(driver, made["sessionId"])


def _call(url: str, body: dict[str, Any] | None = None, *, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)  # noqa: S310 - always loopback
    try:
        with OPENER.open(request, timeout=DEADLINE_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {json.load(error)['value']['message']}") from error
