"""The documents of the deployment: build info, SSH configuration and configuration."""

from __future__ import annotations

import base64
import csv
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from coderapi import __version__
from deployment.selectors import deployment_identity
from kernel import memory
from options.catalogue import CATALOGUE
from options.configuration import ConfigurationError, load
from options.redaction import redacted
from options.values.lists import TextList
from tests.support.api.client import APIClient
from tests.support.samples import sample

PATH = "/api/v2/buildinfo"
pytestmark = pytest.mark.django_db

SEMVER = re.compile(r"v\d+\.\d+\.\d+\+coderapi\.\d+\.\d+\.\d+[0-9A-Za-z.-]*")


OPTIONS = {"agent_api_version": "1.0", "workspace_proxy": False, "telemetry": True}
OPTIONS |= {"dashboard_url": "http://127.0.0.1:3000", "upgrade_message": ""}


def test_all_members_are_present(anonymous: APIClient) -> None:
    answer = anonymous.get(PATH)
    info = answer.json()
    assert SEMVER.fullmatch(info["version"])
    assert info["version"] == f"v2.34.1+coderapi.{__version__}"
    assert answer.headers["X-Coder-Build-Version"] == info["version"]
    # The repository of a checkout is unknown.
    assert info.pop("external_url") == OPTIONS["dashboard_url"]
    assert re.fullmatch(r"1\.\d+", info.pop("provisioner_api_version"))
    assert info.keys() - {"deployment_id", "version", "webpush_public_key"} == OPTIONS.keys()
    assert {name: info[name] for name in OPTIONS} == OPTIONS
    coderd = anonymous.get(PATH, headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert coderd["oauth2_provider"] is False


def test_ids_never_change_and_the_answer_is_cached(
    anonymous: APIClient, django_assert_num_queries: Any
) -> None:
    first = anonymous.get(PATH).json()
    memory.clear_all()
    assert anonymous.get(PATH).json() == first
    assert uuid.UUID(first["deployment_id"]).version == 4
    with django_assert_num_queries(0):
        assert anonymous.get(PATH).status_code == 200


def test_web_push_key_is_an_uncompressed_point_in_unpadded_base64url(anonymous: APIClient) -> None:
    text = anonymous.get(PATH).json()["webpush_public_key"]
    point = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert "=" not in text
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    assert key.curve.name == "secp256r1"
    private = bytes(deployment_identity().vapid_private_key)
    assert base64.urlsafe_b64encode(private)[:40] not in anonymous.get(PATH).content


@pytest.mark.parametrize(("experiments", "shown"), [([], False), (["Web-Push"], True)])
def test_coderd_wire_has_the_web_push_key_only_with_the_experiment(
    settings: Any, anonymous: APIClient, experiments: list[str], shown: bool
) -> None:
    settings.EXPERIMENTS = experiments
    info = anonymous.get(PATH, headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert ("webpush_public_key" in info) is shown


# --- SSH -------------------------------------------------------------------------------------


SSH = "/api/v2/deployment/ssh"


def test_defaults_are_coders_and_options_are_shown(settings: Any, member: APIClient) -> None:
    """An item is split at its first space or equals sign."""
    names = ("hostname_prefix", "hostname_suffix", "ssh_config_options")
    assert member.get(SSH).json() == dict(zip(names, ("coder.", "coder", {}), strict=True))
    settings.SSH_HOSTNAME_PREFIX, settings.SSH_HOSTNAME_SUFFIX = "dev.", "corp"
    for items, options in (
        (["ForwardAgent=yes", "SetEnv LC=a=b"], {"ForwardAgent": "yes", "SetEnv": "LC=a=b"}),
        (["A 1"], {"A": "1"}),
        (["A=1 2"], {"A": "1 2"}),
        (["A =1"], {"A": "=1"}),
        (["A="], {"A": ""}),
        (["A=1", "A=2"], {"A": "2"}),
        (["a=1", "A=2"], {"a": "1", "A": "2"}),
    ):
        settings.SSH_CONFIG_OPTIONS = items
        memory.clear_all()
        assert member.get(SSH).json() == dict(zip(names, ("dev.", "corp", options), strict=True))


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("CODER_SSH_CONFIG_OPTIONS", "Good=1,Nonsense", "Nonsense"),
        ("CODER_WORKSPACE_HOSTNAME_SUFFIX", ".coder", ".coder"),
    ],
)
def test_unusable_options_stop_the_start_and_are_named(
    variable: str, value: str, named: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({variable: value})
    assert variable in str(raised.value)
    assert named in str(raised.value)


# --- GET /deployment/config -------------------------------------------------------------------


CONFIG = "/api/v2/deployment/config"
# The members of the published example, with their JSON types.
PAGE = Path(__file__).parents[1] / "page" / "deployment_config.tsv"
LISTS = "[]"
JSON_TYPES = {bool: "boolean", int: "integer", str: "string", type(None): "null"}


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


def test_config_has_the_members_and_types_of_the_page(owner: APIClient, settings: Any) -> None:
    # Lists are not empty, so that the types of items are known.
    lists = {
        option.env: sample(option)
        for option in CATALOGUE
        if isinstance(option.type, TextList) and not option.use_instead
    }
    lists |= {f"CODER_EXTERNAL_AUTH_0_{key}": "x" for key in ("ID", "SCOPES", "PKCE_METHODS")}
    lists["CODER_SUPPORT_LINKS"] = "[{name: desk, target: /help}]"
    settings.CONFIGURATION = redacted(load(lists))
    memory.clear_all()
    config = owner.get(CONFIG).json()["config"]
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
    options = owner.get(CONFIG).json()["options"]
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
