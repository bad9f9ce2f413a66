from __future__ import annotations

import base64
import re
import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from coderapi import __version__
from deployment.selectors import deployment_identity
from kernel import memory
from tests.support.api.client import APIClient

PATH = "/api/v2/buildinfo"
pytestmark = pytest.mark.django_db

SEMVER = re.compile(r"v\d+\.\d+\.\d+\+coderapi\.\d+\.\d+\.\d+[0-9A-Za-z.-]*")


def test_version_has_the_coder_release_and_our_version(anonymous: APIClient) -> None:
    answer = anonymous.get(PATH)
    assert SEMVER.fullmatch(answer.json()["version"])
    assert answer.json()["version"] == f"v2.34.1+coderapi.{__version__}"
    assert answer.headers["X-Coder-Build-Version"] == answer.json()["version"]


OPTIONS = {
    "agent_api_version": "1.0",
    "workspace_proxy": False,
    "telemetry": True,
    "dashboard_url": "http://127.0.0.1:3000",
    "upgrade_message": "",
}


def test_all_members_are_present(anonymous: APIClient) -> None:
    info = anonymous.get(PATH).json()
    # The repository of a checkout is unknown.
    assert info.pop("external_url") == OPTIONS["dashboard_url"]
    assert re.fullmatch(r"1\.\d+", info.pop("provisioner_api_version"))
    assert info.keys() - {"deployment_id", "version", "webpush_public_key"} == OPTIONS.keys()
    assert {name: info[name] for name in OPTIONS} == OPTIONS


def test_oauth2_provider_is_in_the_coderd_wire_only(anonymous: APIClient) -> None:
    assert "oauth2_provider" not in anonymous.get(PATH).json()
    coderd = anonymous.get(PATH, headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert coderd["oauth2_provider"] is False


def test_ids_never_change(anonymous: APIClient) -> None:
    first = anonymous.get(PATH).json()
    memory.clear_all()
    second = anonymous.get(PATH).json()
    assert uuid.UUID(first["deployment_id"]).version == 4
    assert first == second


def test_web_push_key_is_an_uncompressed_point_in_unpadded_base64url(anonymous: APIClient) -> None:
    text = anonymous.get(PATH).json()["webpush_public_key"]
    point = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert "=" not in text
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    assert key.curve.name == "secp256r1"


def test_private_key_is_not_shown(anonymous: APIClient) -> None:
    private = bytes(deployment_identity().vapid_private_key)
    assert base64.urlsafe_b64encode(private)[:40] not in anonymous.get(PATH).content


@pytest.mark.parametrize(("experiments", "shown"), [([], False), (["Web-Push"], True)])
def test_coderd_wire_has_the_web_push_key_only_with_the_experiment(
    settings: Any, anonymous: APIClient, experiments: list[str], shown: bool
) -> None:
    settings.EXPERIMENTS = experiments
    info = anonymous.get(PATH, headers={"Coderapi-Wire-Format": "coderd"}).json()
    assert ("webpush_public_key" in info) is shown


def test_cached_answer_needs_no_query(anonymous: APIClient, django_assert_num_queries: Any) -> None:
    anonymous.get(PATH)
    with django_assert_num_queries(0):
        assert anonymous.get(PATH).status_code == 200
