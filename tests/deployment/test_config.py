"""GET /deployment/config."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_django import DjangoAssertNumQueries

from kernel import memory
from options.catalogue import CATALOGUE
from options.configuration import Configuration, load
from options.redaction import redacted
from options.values.lists import TextList
from tests.support.api.client import APIClient
from tests.support.samples import sample

PATH = "/api/v2/deployment/config"
# The members of the published example, with their JSON types.
PAGE = Path(__file__).parents[1] / "page" / "deployment_config.tsv"
LISTS = "[]"
JSON_TYPES = {bool: "boolean", int: "integer", str: "string", type(None): "null"}


def test_it_is_cached(owner: APIClient, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    first = owner.get(PATH)
    with django_assert_num_queries(1):
        again = owner.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def page_tree() -> dict[str, str]:
    with PAGE.open(encoding="utf-8") as file:
        return {row["path"]: row["type"] for row in csv.DictReader(file, delimiter="\t")}


OPEN = {path for path, kind in page_tree().items() if kind == "object"}


def tree(document: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path and JSON type of each leaf. Empty objects of the page are leaves."""
    if isinstance(document, dict) and above not in OPEN:
        for key, item in document.items():
            yield from tree(item, f"{above}.{key}".removeprefix("."))
    elif isinstance(document, list):
        for item in document:
            yield from tree(item, above + LISTS)
    else:
        yield above, JSON_TYPES.get(type(document), "object")


def filled() -> Configuration:
    """Returns a configuration without empty lists, so that the types of items are known."""
    lists = {
        option.env: sample(option)
        for option in CATALOGUE
        if isinstance(option.type, TextList) and not option.use_instead
    }
    providers = {f"CODER_EXTERNAL_AUTH_0_{key}": "x" for key in ("ID", "SCOPES", "PKCE_METHODS")}
    return load({**lists, **providers, "CODER_SUPPORT_LINKS": "[{name: desk, target: /help}]"})


def test_config_has_the_members_and_types_of_the_page(owner: APIClient, settings: Any) -> None:
    settings.CONFIGURATION = redacted(filled())
    memory.clear_all()
    config = owner.get(PATH).json()["config"]
    ours = dict(tree({"config": config}))
    page = {path: kind for path, kind in page_tree().items() if path.startswith("config.")}
    secret_lists = {"config.external_token_encryption_keys[]"}
    assert ours.keys() == page.keys() - secret_lists
    assert ours == {path: kind for path, kind in page.items() if path not in secret_lists}
    assert config["external_token_encryption_keys"] == []


def test_options_have_the_members_and_types_of_the_page(owner: APIClient) -> None:
    page = {
        path.removeprefix("options[]."): kind
        for path, kind in page_tree().items()
        if path.startswith("options[].") and ".group.parent." not in path
    }
    members = {path.partition(".")[0].removesuffix(LISTS) for path in page}
    options = owner.get(PATH).json()["options"]
    assert len(options) == len(CATALOGUE)
    for option in options:
        assert option.keys() == members
        for name, kind in page.items():
            if name in option and name != "value":
                assert JSON_TYPES.get(type(option[name]), "object") == kind, name
        group = option["group"]
        while group:
            assert group.keys() == {"parent", "name", "yaml", "description"}
            group = group["parent"]
