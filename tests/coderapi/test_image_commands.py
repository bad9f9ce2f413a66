"""The commands of the image and the composition, run outside a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.commands import execute, manage
from tests.support.processes import (
    PROJECT,
    database_name,
    free_port,
    own_database,
    wait_for,
)
from tests.support.servers.containers import (
    Container,
    Image,
    Rehearsal,
    built_image,
    composition,
    make_secrets,
    only,
    rehearsed,
    stages,
)

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


def test_no_other_step_of_the_image_is_skipped() -> None:
    assert {step[0] for step in only(stages()[-1], "RUN").steps} == NOT_REHEARSED


def test_build_collects_static_files_without_secrets(image: Image) -> None:
    assert (image.app / "coderapi" / "staticfiles" / "staticfiles.json").exists()
    assert list(image.app.glob("coderapi/__pycache__/settings.*.pyc"))


def test_health_check_fails_without_an_answer(rehearsal: Rehearsal) -> None:
    assert health_check(rehearsal.image, rehearsal.web.port) == 0
    assert health_check(rehearsal.image, free_port()) == 1


def test_only_the_worker_runs_jobs(rehearsal: Rehearsal) -> None:
    with psycopg.connect(rehearsal.database_url, autocommit=True) as connection:
        query = "SELECT count(*) FROM jobs_jobrun WHERE finished_at IS NOT NULL"
        wait_for(lambda: (row := connection.execute(query).fetchone()) and row[0])

    assert "coderapi: jobs" not in " ".join(commands(rehearsal.web))


def commands(container: Container) -> list[str]:
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in container.all_processes()]


def test_first_owner_file_is_private(rehearsal: Rehearsal) -> None:
    shown = rehearsal.image.data / "first-owner.txt"

    assert "username       owner\n" in shown.read_text()
    assert shown.stat().st_mode & 0o077 == 0


def test_service_writes_only_to_the_data_volume(
    files_before: set[Path], rehearsal: Rehearsal
) -> None:
    assert health_check(rehearsal.image, rehearsal.web.port) == 0
    assert rehearsal.image.files() == files_before


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
    with own_database(like="template0") as url, psycopg.connect(url, autocommit=True) as direct:
        script = script.replace("/run/secrets", str(secrets)).replace("coderapi", role)
        script = script.replace(f"DATABASE {role}", f"DATABASE {database_name(url)}")
        done = execute(["psql", "-v", "ON_ERROR_STOP=1", url], typed=script)
        assert done.returncode == 0, done.stderr
        try:
            found = (
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = %s"
            )
            assert direct.execute(found, [role]).fetchone() == (False,)
            as_role = f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"
            done = manage("migrate", DATABASE_URL=as_role)
            assert done.returncode == 0, done.stderr
        finally:
            direct.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP ROLE {role}")


def test_secrets_are_created_once(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    before = {file.name: file.read_text() for file in made.iterdir()}
    subprocess.run([made.parent / "make-secrets"], check=True, capture_output=True)

    assert before == {file.name: file.read_text() for file in made.iterdir()}
    assert set(before) == set(composition()["secrets"])
    assert made.stat().st_mode & 0o077 == 0
    assert before["database_password"].strip() in before["database_url"]
    assert len(before["secret_key"].strip()) >= 50
