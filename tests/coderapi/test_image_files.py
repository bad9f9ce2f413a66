"""The files of the image and of the composition."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bin.generated import COMPOSE_VARIABLES
from tests.support.commands import execute
from tests.support.processes import PACKAGES, PROJECT
from tests.support.servers.containers import (
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

BIN = Path(sys.executable).parent

# --- Dockerfile -------------------------------------------------------------------------------


def test_dockerfile_has_no_lint() -> None:
    linter = shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")
    if not linter:
        pytest.skip("hadolint is not installed")

    found = execute([linter, "--no-color", DOCKERFILE])

    assert (found.returncode, found.stdout) == (0, "")


def test_both_stages_use_the_same_supported_python() -> None:
    build, final = (only(stage, "FROM").value.removesuffix(" AS build") for stage in stages())

    assert build == final
    assert re.fullmatch(r"python:3\.1[234]\.\d+-slim-\w+@sha256:[0-9a-f]{64}", final)


def test_foreign_images_are_pinned_by_digest() -> None:
    images = [service["image"] for service in composition()["services"].values()]
    foreign = [image for image in images if image != "coderapi"]

    assert len(foreign) == 2
    assert all(re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image) for image in foreign)


def test_image_runs_as_an_unprivileged_user_who_owns_only_the_data() -> None:
    final = stages()[-1]
    uid = only(final, "USER").value.partition(":")[0]
    (user, directory) = only(final, "RUN").steps

    assert int(uid) > 0
    assert user[:4] == ["useradd", "--no-log-init", "--uid", uid]
    assert f"--owner={uid}" in directory
    assert directory[-1] == image_environment()["CODERAPI_DATA_DIR"]


def test_image_runs_the_whole_server_by_default() -> None:
    final = stages()[-1]

    assert only(final, "ENTRYPOINT").argv == ["coderapi"]
    assert only(final, "CMD").argv == ["server"]


def test_image_contains_no_secret_and_no_package_index() -> None:
    text = DOCKERFILE.read_text().lower()

    assert not re.search(r"secret|password|token=|://(?!127)|index-url|\barg\b", text)
    assert not {".env", "docker", "tests"} & set(build_context())


def test_every_package_is_in_the_image_and_in_the_tools_settings() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]

    assert set(build_context()) >= PACKAGES
    assert set(project["importlinter"]["root_packages"]) == PACKAGES
    assert set(project["coverage"]["run"]["source"]) == PACKAGES


# --- Composition ------------------------------------------------------------------------------

# The keys of the Compose Specification that are used here.
KEYS = {
    *("image", "build", "user", "entrypoint", "command", "environment", "env_file", "secrets"),
    *("volumes", "tmpfs", "ports", "networks", "depends_on", "healthcheck", "init", "shm_size"),
    *("stop_signal", "stop_grace_period"),
}
CHECK_KEYS = {"test", "disable", "interval", "timeout", "start_period", "start_interval"}
HARDENING = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
}
SERVICES: dict[str, dict[str, Any]] = composition()["services"]


@pytest.mark.parametrize("name", ["db", "web", "worker", "proxy"])
def test_every_service_is_hardened_and_has_known_keys(name: str) -> None:
    service = SERVICES[name]
    assert {key: service.get(key) for key in HARDENING} == HARDENING
    assert service.keys() - HARDENING <= KEYS
    assert service.get("healthcheck", {}).keys() <= CHECK_KEYS
    assert "build" in service or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    for other in service.get("depends_on", {}).values():
        assert other == {"condition": "service_healthy"}


def test_every_variable_has_the_default_of_the_example_environment() -> None:
    found = {match["name"]: match["default"] for match in VARIABLE.finditer(_compose_text())}
    first_owner = found.pop("CODERAPI_FIRST_OWNER_USERNAME")

    assert first_owner == "owner"
    assert found == {name: default for name, default, _ in COMPOSE_VARIABLES}
    assert "${" not in VARIABLE.sub("", _compose_text())


def _compose_text() -> str:
    return COMPOSE_FILE.read_text() + METRICS_FILE.read_text()


def test_metrics_are_published_on_the_port_of_the_image() -> None:
    (service,) = yaml.safe_load(METRICS_FILE.read_text())["services"].items()
    name, added = service
    port = image_environment()["CODER_PROMETHEUS_ADDRESS"].removeprefix("0.0.0.0:")

    assert SERVICES[name]["command"][0] == "server"
    assert added["environment"] == {"CODER_PROMETHEUS_ENABLE": "true"}
    assert [published.rpartition(":")[2] for published in added["ports"]] == [port]
    assert only(stages()[-1], "EXPOSE").value.split() == ["3000", port]


def test_only_the_proxy_has_ports_and_is_trusted() -> None:
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
