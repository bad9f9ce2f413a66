"""The image and the composition: what their files promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from coderapi.generated import COMPOSE_VARIABLES
from tests.support.containers import (
    COMPOSE_FILE,
    DOCKERFILE,
    METRICS_FILE,
    VARIABLE,
    build_context,
    composition,
    image_environment,
    only,
    stages,
)
from tests.support.processes import PACKAGES, PROJECT

BIN = Path(sys.executable).parent

# --- What the Dockerfile promises --------------------------------------------------------------


def test_linter_finds_nothing_in_the_dockerfile() -> None:
    linter = shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")
    if not linter:
        pytest.skip("hadolint is not installed")

    found = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True)

    assert (found.returncode, found.stdout) == (0, "")


def test_both_stages_stand_on_the_same_python_that_the_project_supports() -> None:
    build, final = (only(stage, "FROM").value.removesuffix(" AS build") for stage in stages())

    assert build == final
    assert re.fullmatch(r"python:3\.1[234]\.\d+-slim-\w+@sha256:[0-9a-f]{64}", final)


def test_images_of_others_are_pinned_by_digest() -> None:
    images = [service["image"] for service in composition()["services"].values()]
    of_others = [image for image in images if image != "coderapi"]

    assert len(of_others) == 2
    assert all(re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image) for image in of_others)


def test_image_runs_as_a_user_who_is_not_root_and_owns_only_the_data() -> None:
    final = stages()[-1]
    uid = only(final, "USER").value.partition(":")[0]
    (user, directory) = only(final, "RUN").steps

    assert int(uid) > 0
    assert user[:4] == ["useradd", "--no-log-init", "--uid", uid]
    assert f"--owner={uid}" in directory
    assert directory[-1] == image_environment()["CODERAPI_DATA_DIR"]


def test_image_starts_everything_unless_told_otherwise() -> None:
    final = stages()[-1]

    assert only(final, "ENTRYPOINT").argv == ["python", "manage.py"]
    assert only(final, "CMD").argv == ["server"]


def test_image_holds_no_secret_and_no_address_of_a_package_index() -> None:
    text = DOCKERFILE.read_text().lower()

    assert not re.search(r"secret|password|token=|://(?!github\.com|127)|index-url|\barg\b", text)
    assert not {".env", "docker", "tests"} & set(build_context())


def test_every_package_is_in_the_image_and_under_the_rules() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]

    assert set(build_context()) >= PACKAGES
    assert set(project["importlinter"]["root_packages"]) == PACKAGES
    assert set(project["coverage"]["run"]["source"]) == PACKAGES


# --- What the composition promises -------------------------------------------------------------

TEXTS = {"type": "array", "items": {"type": "string"}}
NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
SPAN = {"type": "string", "pattern": r"^\d+(s|m)$"}
# The part of the Compose Specification that is used here, and no more.
COMPOSE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {"^x-": True},
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": {"$ref": "#/$defs/service"}},
        "networks": {"type": "object"},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
        "secrets": {
            "type": "object",
            "additionalProperties": {"type": "object", "required": ["file"]},
        },
    },
    "$defs": {
        "service": {
            "type": "object",
            "required": ["image", "networks", "read_only", "cap_drop", "security_opt", "restart"],
            "additionalProperties": False,
            "properties": {
                "image": {"type": "string"},
                "build": NAMES,
                "user": {"type": "string", "pattern": r"^[1-9]\d*:[1-9]\d*$"},
                "entrypoint": TEXTS,
                "command": TEXTS,
                "environment": NAMES,
                "env_file": {"type": "array", "items": {"required": ["path", "required"]}},
                "secrets": TEXTS,
                "volumes": TEXTS,
                "tmpfs": TEXTS,
                "ports": {"type": "array", "items": {"pattern": r"^[\d.]+:\d+:\d+$"}},
                "networks": {"type": ["array", "object"]},
                "depends_on": {
                    "type": "object",
                    "additionalProperties": {
                        "properties": {"condition": {"const": "service_healthy"}}
                    },
                },
                "healthcheck": {
                    "additionalProperties": False,
                    "properties": {
                        "test": TEXTS,
                        "disable": {"const": True},
                        "interval": SPAN,
                        "timeout": SPAN,
                        "start_period": SPAN,
                        "start_interval": SPAN,
                    },
                },
                "init": {"type": "boolean"},
                "read_only": {"const": True},
                "cap_drop": {"const": ["ALL"]},
                "security_opt": {"const": ["no-new-privileges:true"]},
                "restart": {"const": "unless-stopped"},
                "shm_size": {"type": "string"},
                "stop_signal": {"type": "string"},
                "stop_grace_period": SPAN,
            },
        }
    },
}
SERVICES: dict[str, dict[str, Any]] = composition()["services"]


def test_composition_keeps_to_the_specification_and_every_service_is_hardened() -> None:
    jsonschema.validate(composition(), COMPOSE_SCHEMA)

    assert set(SERVICES) == {"db", "web", "worker", "proxy"}


def test_every_variable_has_the_default_that_the_example_environment_shows() -> None:
    found = {match["name"]: match["default"] for match in VARIABLE.finditer(_compose_text())}
    first_owner = found.pop("CODERAPI_FIRST_OWNER_USERNAME")

    assert first_owner == "owner"
    assert found == {name: default for name, default, _ in COMPOSE_VARIABLES}
    assert "${" not in VARIABLE.sub("", _compose_text())


def _compose_text() -> str:
    return COMPOSE_FILE.read_text() + METRICS_FILE.read_text()


def test_metrics_are_published_where_the_image_serves_them() -> None:
    (service,) = yaml.safe_load(METRICS_FILE.read_text())["services"].items()
    name, added = service
    port = image_environment()["CODER_PROMETHEUS_ADDRESS"].removeprefix("0.0.0.0:")

    assert SERVICES[name]["command"][0] == "server"
    assert added["environment"] == {"CODER_PROMETHEUS_ENABLE": "true"}
    assert [published.rpartition(":")[2] for published in added["ports"]] == [port]
    assert only(stages()[-1], "EXPOSE").value.split() == ["3000", port]


@pytest.mark.parametrize("kind", ["networks", "volumes", "secrets"])
def test_everything_that_a_service_uses_is_declared_and_the_other_way_round(kind: str) -> None:
    used = {use.partition(":")[0] for service in SERVICES.values() for use in service.get(kind, [])}

    assert {use for use in used if not use.startswith("./")} == set(composition()[kind])
    assert all((PROJECT / use).exists() for use in used if use.startswith("./"))


def test_what_a_service_waits_for_has_a_health_check() -> None:
    for service in SERVICES.values():
        for other in service.get("depends_on", {}):
            checked = SERVICES[other].get("healthcheck", {}).get("test")
            assert checked or "build" in SERVICES[other]


def test_only_the_proxy_is_reached_from_outside_and_the_service_believes_only_it() -> None:
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]

    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["web"]["environment"]["CODER_PROXY_TRUSTED_ORIGINS"] == address
    assert composition()["networks"]["data"] == {"internal": True}


def test_secrets_come_from_files() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|DATABASE_URL", name):
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
