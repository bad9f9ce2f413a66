"""The files of the image and of the composition, and their commands outside a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bin.generated import COMPOSE_VARIABLES
from tests.support.commands import execute, succeed
from tests.support.databases.tables import query
from tests.support.processes import (
    PACKAGES,
    PROJECT,
    command_line,
    database_name,
    free_port,
    own_database,
    wait_for,
)
from tests.support.servers.containers import (
    COMPOSE_FILE,
    DOCKERFILE,
    METRICS_FILE,
    VARIABLE,
    Image,
    Rehearsal,
    build_context,
    built_image,
    composition,
    image_environment,
    make_secrets,
    only,
    rehearsed,
    stages,
)

BIN = Path(sys.executable).parent


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
    pinned = [each for each in images if re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", each)]
    assert (len(pinned), set(images) - set(pinned)) == (2, {"coderapi"})


def test_image_runs_the_server_as_an_unprivileged_user_who_owns_only_the_data() -> None:
    final = stages()[-1]
    uid = only(final, "USER").value.partition(":")[0]
    (user, directory) = only(final, "RUN").steps
    assert int(uid) > 0
    assert user[:4] == ["useradd", "--no-log-init", "--uid", uid]
    assert f"--owner={uid}" in directory
    assert directory[-1] == image_environment()["CODERAPI_DATA_DIR"]
    assert [only(final, name).argv for name in ("ENTRYPOINT", "CMD")] == [["coderapi"], ["server"]]
    # All other steps of the image are rehearsed.
    assert {step[0] for step in only(final, "RUN").steps} == NOT_REHEARSED


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


# These commands change the accounts of the machine, so the test does not run them.
# test_image_files.py compares their text with the expected text.
NOT_REHEARSED = {"useradd", "install"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return built_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def files_before(image: Image) -> set[Path]:
    return image.files()


@pytest.fixture(scope="module")
def rehearsal(image: Image, files_before: set[Path]) -> Iterator[Rehearsal]:
    with rehearsed(image) as rehearsal:
        yield rehearsal


def health_check(image: Image, port: int) -> int:
    argv = only(stages()[-1], "HEALTHCHECK").argv
    argv = [argument.replace("3000", str(port)) for argument in argv]
    return image.run(argv, environment=image.environment({})).returncode


def test_lock_file_installs_by_hash_into_a_new_environment(tmp_path: Path) -> None:
    # pip fetches nothing, because everything is installed. It accepts the command and the lock
    # file, and the tests run with the pinned versions.
    first, _ = (instruction for instruction in stages()[0] if instruction.name == "RUN")
    make, install = first.steps
    in_place = [argument.replace("/opt/venv", str(tmp_path / "venv")) for argument in make]
    subprocess.run([sys.executable, *in_place[1:]], check=True)
    assert (tmp_path / "venv" / "bin" / "python").exists()
    here = [argument.replace("/opt/venv/bin/python", sys.executable) for argument in install]
    done = execute(
        [sys.executable, *here[1:], "--dry-run", "--no-index"],
        cwd=PROJECT,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
    )
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def test_build_collects_static_files_without_secrets(image: Image) -> None:
    assert (image.app / "coderapi" / "staticfiles" / "staticfiles.json").exists()
    assert list(image.app.glob("coderapi/__pycache__/settings.*.pyc"))


def test_health_check_fails_without_an_answer_and_the_service_writes_only_to_the_data_volume(
    files_before: set[Path], rehearsal: Rehearsal
) -> None:
    image = rehearsal.image
    assert [health_check(image, port) for port in (rehearsal.web.port, free_port())] == [0, 1]
    assert image.files() == files_before
    shown = image.data / "first-owner.txt"
    assert "username       owner\n" in shown.read_text()
    assert shown.stat().st_mode & 0o077 == 0


def test_only_the_worker_runs_jobs(rehearsal: Rehearsal) -> None:
    ended = "SELECT FROM jobs_jobrun WHERE finished_at IS NOT NULL"
    wait_for(lambda: query(rehearsal.database_url, ended))
    assert "coderapi: jobs" not in " ".join(map(command_line, rehearsal.web.all_processes()))


def test_database_health_check_works(rehearsal: Rehearsal) -> None:
    if not shutil.which("pg_isready"):
        pytest.skip("pg_isready is not installed")
    argv = composition()["services"]["db"]["healthcheck"]["test"][1:]
    # The tests' PostgreSQL has only a Unix socket, in another directory than in the container.
    elsewhere = [argument for argument in argv if not argument.startswith("--host")]
    done = subprocess.run([*elsewhere[:-1], f"--dbname={rehearsal.database_url}"])
    assert argv[0] == "pg_isready"
    assert done.returncode == 0


def test_role_of_the_service_is_an_ordinary_owner(tmp_path: Path) -> None:
    if not shutil.which("psql"):
        pytest.skip("psql is not installed")
    mount = next(each for each in composition()["services"]["db"]["volumes"] if ".sql" in each)
    script = (PROJECT / mount.partition(":")[0]).read_text()
    role, secrets = f"role_{uuid.uuid4().hex}", make_secrets(tmp_path)
    with own_database(like="template0") as url:
        script = script.replace("/run/secrets", str(secrets)).replace("coderapi", role)
        script = script.replace(f"DATABASE {role}", f"DATABASE {database_name(url)}")
        done = execute(["psql", "-v", "ON_ERROR_STOP=1", url], typed=script)
        assert done.returncode == 0, done.stderr
        try:
            rights = "rolsuper OR rolcreaterole OR rolcreatedb"
            found = query(url, f"SELECT {rights} FROM pg_roles WHERE rolname = %s", role)  # noqa: S608
            assert found == [(False,)]
            as_role = f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"
            succeed("migrate", DATABASE_URL=as_role)
        finally:
            query(url, f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP ROLE {role}")


def test_secrets_are_created_once(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    before = {file.name: file.read_text() for file in made.iterdir()}
    subprocess.run([made.parent / "make-secrets"], check=True, capture_output=True)
    assert before == {file.name: file.read_text() for file in made.iterdir()}
    assert set(before) == set(composition()["secrets"])
    assert made.stat().st_mode & 0o077 == 0
    assert before["database_password"].strip() in before["database_url"]
    assert len(before["secret_key"].strip()) >= 50
