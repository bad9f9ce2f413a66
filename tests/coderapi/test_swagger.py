"""Swagger UI in a browser: it shows the API and complies with the strict policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.support.browsers.browser import browsing, needs_browser
from tests.support.processes import wait_for

HEADINGS = (
    "return [...document.querySelectorAll('.opblock-summary-description')].map(e => e.innerText)"
)
ANSWER = "return document.querySelector('.live-responses-table')?.innerText ?? ''"


@needs_browser
@pytest.mark.django_db(transaction=True)
def test_page_shows_every_operation_without_violations(
    live_server: LiveServer, settings: Any, tmp_path: Path
) -> None:
    settings.SWAGGER_ENABLE = True

    with browsing(tmp_path) as browser:
        browser.open(f"{live_server.url}/swagger")
        # The page fills in step by step, so wait for what is expected.
        expected = {"Build info", "Get deployment config", "Get token config"}
        wait_for(lambda: expected <= set(browser.run(HEADINGS)))
        browser.click("#operations-General-build-info .opblock-summary-control")
        browser.click(".try-out__btn")
        browser.click(".execute")
        wait_for(lambda: "deployment_id" in browser.run(ANSWER))
        assert browser.violations() == []
