"""The container files, parsed, and what they say done on this machine: only paths are others.

There is no engine here, so what one does itself (layers, users, networks, limits) is not shown.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.processes import DEADLINE_SECONDS, PROJECT, Program, own_database

DOCKERFILE = PROJECT / "docker" / "Dockerfile"
COMPOSE_FILE = PROJECT / "docker-compose.yml"
METRICS_FILE = PROJECT / "docker" / "metrics.yml"
PLACE = re.compile(r"(?<!\w)(/opt/venv|/app|/data|/run/secrets|0\.0\.0\.0:3000)(?![\w-])")
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    value: str

    @property
    def argv(self) -> list[str]:
        """The arguments of an exec form, after options such as HEALTHCHECK's."""
        arguments: list[str] = json.loads(self.value[self.value.index("[") :])
        return arguments

    @property
    def steps(self) -> list[list[str]]:
        """The commands of a shell form, which are only ever joined by &&."""
        return [shlex.split(step) for step in self.value.split("&&")]


type Stage = list[Instruction]


def stages() -> list[Stage]:
    """The Dockerfile's stages, each with its FROM first."""
    lines = DOCKERFILE.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found: list[Stage] = []
    for line in filter(str.strip, text.replace("\\\n", " ").splitlines()):
        name, _, value = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, value.strip()))
    return found


def only(stage: Stage, name: str) -> Instruction:
    (instruction,) = (found for found in stage if found.name == name)
    return instruction


def image_environment() -> dict[str, str]:
    words = shlex.split(only(stages()[-1], "ENV").value)
    return dict(word.split("=", 1) for word in words)


def build_context() -> Iterator[str]:
    """The top-level names that .dockerignore lets into the image."""
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            yield line[1:]


def copy_build_context(to: Path) -> None:
    for name in build_context():
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / name)


def composition(**variables: str) -> dict[str, Any]:
    """docker-compose.yml with its variables put in: the given ones, else their defaults."""
    text = VARIABLE.sub(
        lambda found: variables.get(found["name"]) or found["default"], COMPOSE_FILE.read_text()
    )
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


class Image:
    """The image rehearsed: its files in a folder, and its paths led there."""

    def __init__(self, root: Path, *, venv: Path) -> None:
        self.app = root / "app"
        self.data = root / "data"
        self.secrets = root / "secrets"
        self.temporary = root / "tmp"
        self._places = {
            "/opt/venv": venv,
            "/app": self.app,
            "/data": self.data,
            "/run/secrets": self.secrets,
            "0.0.0.0:3000": "127.0.0.1:0",
        }
        for directory in (self.app, self.data, self.secrets, self.temporary):
            directory.mkdir()
        copy_build_context(self.app)

    def led(self, text: str) -> str:
        """The text with the image's paths led to ours, and its port to any that is free."""
        return PLACE.sub(lambda found: str(self._places[found[0]]), text)

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """What a process of the service finds in its environment, and nothing of ours."""
        path = os.environ["PATH"]
        declared = {**image_environment(), **service.get("environment", {})}
        led = {name: self.led(value.replace("$PATH", path)) for name, value in declared.items()}
        return {"HOME": str(self.data), "TMPDIR": str(self.temporary), **led}

    def files(self) -> set[Path]:
        return set(self.app.rglob("*"))

    def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.led(argument) for argument in argv],
            cwd=self.app,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS * 2,
            check=False,
        )


class Container(Program):
    """A service of the composition, started with the image's entry point as its command says."""

    def __init__(self, image: Image, service: str, *, log: Path, **more: str) -> None:
        described = composition()["services"][service]
        self.mark = f"TEST_MARK={uuid.uuid4().hex}"
        self.log = log
        name, _, value = self.mark.partition("=")
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [*only(stages()[-1], "ENTRYPOINT").argv, *described["command"]],
                cwd=image.app,
                env={**image.environment(described), **more, name: value},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def port(self) -> int:
        """The port of a web service, once it answers there."""
        self.wait_for_log(" answers\n")
        found = re.search(r"Ready: http://127\.0\.0\.1:(\d+) answers", self.log.read_text())
        assert found
        return int(found[1])


@dataclass(frozen=True)
class Rehearsal:
    """The composition's services of ours, running."""

    image: Image
    web: Container
    worker: Container
    database_url: str


def built_image(root: Path) -> Image:
    """The image after the last of the build's steps, which is about the project's files."""
    image = Image(root, venv=Path(sys.executable).parent.parent)
    last = stages()[0][-1]
    assert last.name == "RUN"
    for step in last.steps:
        done = image.run(step)
        assert done.returncode == 0, done.stderr
    return image


@contextmanager
def rehearsed(image: Image, **environment: str) -> Iterator[Rehearsal]:
    """Web and worker on a database of their own. Loopback stands for the proxy's address."""
    logs = image.temporary
    with own_database() as url, ExitStack() as running:
        provide_secrets(image, database_url=url)
        web = Container(
            image,
            "web",
            log=logs / "web.log",
            CODERAPI_WEB_WORKERS="1",
            CODER_PROXY_TRUSTED_ORIGINS="127.0.0.1",
            **environment,
        )
        running.callback(web.kill_all)
        assert web.port
        worker = Container(image, "worker", log=logs / "worker.log")
        running.callback(worker.kill_all)
        yield Rehearsal(image, web, worker, url)


def provide_secrets(image: Image, *, database_url: str) -> None:
    made = make_secrets(image.temporary)
    shutil.copytree(made, image.secrets, dirs_exist_ok=True)
    (image.secrets / "database_url").unlink()
    (image.secrets / "database_url").write_text(f"{database_url}\n")


def make_secrets(directory: Path) -> Path:
    """The secrets that docker/make-secrets makes, run in a copy of its folder."""
    script = directory / "docker" / "make-secrets"
    script.parent.mkdir()
    shutil.copy2(PROJECT / "docker" / "make-secrets", script)
    subprocess.run([script], check=True, capture_output=True)
    return script.parent / "secrets"
