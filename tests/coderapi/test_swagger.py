"""Swagger UI in a browser: it shows the API and complies with the strict policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.support.browser import browsing, needs_browser
from tests.support.processes import wait_for

HEADINGS = (
    "return [...document.querySelectorAll('.opblock-summary-description')].map(e => e.innerText)"
)


def _found(selector: str) -> str:
    return f"document.querySelector('{selector}')?.innerText"


@needs_browser
@pytest.mark.django_db(transaction=True)
def test_page_shows_every_operation_without_violations(
    live_server: LiveServer, settings: Any, tmp_path: Path
) -> None:
    settings.SWAGGER_ENABLE = True

    with browsing(tmp_path) as browser:
        browser.open(f"{live_server.url}/swagger")
        shown = wait_for(lambda: browser.run(HEADINGS))
        browser.click("#operations-General-build-info .opblock-summary-control")
        wait_for(lambda: browser.run(f"return {_found('.try-out__btn')}"))
        browser.click(".try-out__btn")
        browser.click(".execute")
        answered = wait_for(lambda: browser.run(f"return {_found('.live-responses-table')}"))

        assert "deployment_id" in answered
        assert {"Build info", "Get deployment config", "Get token config"} <= set(shown)
        assert browser.violations() == []
