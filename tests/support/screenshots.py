"""Takes the screenshots of the documents: fills a service of its own, and looks at it.

`make screenshots` calls it. It needs Chromium and ChromeDriver.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.browser import Browser, browsing
from tests.support.example import OWNER, PASSWORD, example
from tests.support.processes import PROJECT, wait_for

IMAGES = PROJECT / "docs" / "images"
WIDTH = 1280
MAX_HEIGHT = 1220
HEIGHT = "return document.documentElement.scrollHeight"
# Who looks, at which page, for each image.
PAGES = {
    "timelines": (OWNER, "/admin/stats/snapshot/timelines/"),
    "csp-groups": (OWNER, "/admin/csp/group/"),
    "keys": (OWNER, "/admin/tokens/apikey/"),
    "account": ("barbara", "/account"),
}


def take(browser: Browser, service: str, image: str) -> None:
    name, path = PAGES[image]
    browser.resize(WIDTH, 300)
    browser.open(f"{service}/login?next={path}")
    browser.type_into("#id_name", name)
    browser.type_into("#id_password", PASSWORD)
    browser.click("#content [type=submit]")
    wait_for(lambda: browser.address == f"{service}{path}")
    browser.resize(WIDTH, min(browser.run(HEIGHT), MAX_HEIGHT))
    browser.screenshot(IMAGES / f"{image}.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coderapi-screenshots-") as directory:
        # PostgreSQL's own account enters it, where root starts the service.
        Path(directory).chmod(0o711)
        with example(Path(directory)) as service:
            for image in PAGES:
                profile = Path(directory) / image
                with browsing(profile, flags=["--hide-scrollbars"]) as browser:
                    browser.prefer("light")
                    take(browser, f"http://127.0.0.1:{service.server.port}", image)
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.stat().st_size:>8} {path}")  # noqa: T201 - for whoever runs it


if __name__ == "__main__":
    main()
