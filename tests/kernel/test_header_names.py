"""The names of headers are spelt in one module of the service."""

from __future__ import annotations

from kernel.http import headers
from tests.support.processes import PROJECT

NAMES = [name for key, name in vars(headers).items() if key.isupper()]
OTHERS = {"tests", "bench", "bin"}


def test_each_header_is_spelt_in_one_module() -> None:
    found = {}
    for package in PROJECT.glob("*/__init__.py"):
        if package.parent.name in OTHERS:
            continue
        for path in package.parent.rglob("*.py"):
            # The descriptions of columns are texts for readers of the database.
            if path.name == "models.py" or path.parent.name == "migrations":
                continue
            text = path.read_text().lower()
            if names := [name for name in NAMES if name.lower() in text]:
                found[str(path.relative_to(PROJECT))] = names
    assert found == {"kernel/http/headers.py": NAMES}
    assert len(NAMES) == 10
