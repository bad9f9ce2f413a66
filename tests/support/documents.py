"""Listings of the documents, which tests run."""

from __future__ import annotations

import re

from tests.support.processes import PROJECT

GUIDE = (PROJECT / "docs" / "operations.md").read_text()


def listing(language: str, first_line: str) -> str:
    """Returns the guide's listing whose first line matches the pattern, without this line."""
    found = re.search(rf"^```{language}\n{first_line}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]
