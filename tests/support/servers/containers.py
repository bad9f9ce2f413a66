"""Rehearses the container files on this machine: their commands run with other paths.

There is no container engine, so layers, users, networks and limits are not tested.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

import yaml

from tests.support.commands import execute
from tests.support.processes import PROJECT, Program, own_database

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
        """Returns the arguments of an exec form, without options such as HEALTHCHECK's."""
        arguments: list[str] = json.loads(self.value[self.value.index("[") :])
        return arguments

    @property
    def steps(self) -> list[list[str]]:
        """Returns the commands in a shell form, split at &&, without their variables."""
        commands = [shlex.split(step) for step in self.value.split("&&")]
        return [
            list(dropwhile(lambda word: re.match(r"\w+=", word), command)) for command in commands
        ]


type Stage = list[Instruction]


def stages() -> list[Stage]:
    """Returns the stages of the Dockerfile. Each begins with its FROM."""
    lines = DOCKERFILE.read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    stages: list[Stage] = []
    for line in filter(str.strip, text.replace("\\\n", " ").splitlines()):
        name, _, value = line.strip().partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, value.strip()))
    return stages


def only(stage: Stage, name: str) -> Instruction:
    (instruction,) = (each for each in stage if each.name == name)
    return instruction


def image_environment() -> dict[str, str]:
    words = shlex.split(only(stages()[-1], "ENV").value)
    return dict(word.split("=", 1) for word in words)


def build_context() -> Iterator[str]:
    """Yields the top-level names that .dockerignore lets into the image."""
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            yield line[1:]


def composition(**variables: str) -> dict[str, Any]:
    """Returns docker-compose.yml, with the given variables or else their defaults filled in."""
    text = VARIABLE.sub(
        lambda match: variables.get(match["name"]) or match["default"], COMPOSE_FILE.read_text()
    )
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


class Image:
    """The files of the image in a folder, and a folder on this machine for each of its paths."""

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
        for name in build_context():
            source = PROJECT / name
            if source.is_dir():
                without = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.app / name, ignore=without)
            else:
                (self.app / name).parent.mkdir(exist_ok=True)
                shutil.copy2(source, self.app / name)

    def translated(self, text: str) -> str:
        """Returns the text with the paths in the image replaced with those of this machine."""
        return PLACE.sub(lambda match: str(self._places[match[0]]), text)

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """Returns the whole environment of a process of the service."""
        path = os.environ["PATH"]
        declared = {**image_environment(), **service.get("environment", {})}
        declared = {name: text.replace("$PATH", path) for name, text in declared.items()}
        translated = {name: self.translated(text) for name, text in declared.items()}
        return {"HOME": str(self.data), "TMPDIR": str(self.temporary), **translated}

    def files(self) -> set[Path]:
        return set(self.app.rglob("*"))

    def run(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [self.translated(argument) for argument in argv]
        environment = {"PATH": os.environ["PATH"], **(environment or {})}
        return execute(command, cwd=self.app, env=environment)


class Container(Program):
    """A service of the composition, started by the entry point of the image."""

    def __init__(self, image: Image, service: str, *, log: Path, **more: str) -> None:
        described = composition()["services"][service]
        self.directory = image.app
        command = [*only(stages()[-1], "ENTRYPOINT").argv, *described["command"]]
        self._start(command, log=log, environment={**image.environment(described), **more})

    @property
    def port(self) -> int:
        """Waits until a web service answers, and returns its port."""
        self.wait_for_log(" answers\n")
        ready = re.search(r"Ready: http://127\.0\.0\.1:(\d+) answers", self.log.read_text())
        assert ready
        return int(ready[1])


@dataclass(frozen=True)
class Rehearsal:
    """The running services that use the image."""

    image: Image
    web: Container
    worker: Container
    database_url: str


def built_image(root: Path) -> Image:
    """Makes the image by the last step of the build, which collects the static files."""
    image = Image(root, venv=Path(sys.executable).parent.parent)
    last = stages()[0][-1]
    assert last.name == "RUN"
    for step in last.steps:
        # Except the libraries, which are those of this machine.
        done = image.run([argument for argument in step if argument != "/opt/venv/lib"])
        assert done.returncode == 0, done.stderr
    return image


@contextmanager
def rehearsed(image: Image, **environment: str) -> Iterator[Rehearsal]:
    """Starts web and worker on their own database. They trust loopback as the proxy's address."""
    logs = image.temporary
    environment |= {
        "CODERAPI_WEB_WORKERS": "1",
        "CODER_PROXY_TRUSTED_ORIGINS": "127.0.0.1",
    }
    with own_database() as url, ExitStack() as running:
        shutil.copytree(make_secrets(logs), image.secrets, dirs_exist_ok=True)
        (image.secrets / "database_url").unlink()
        (image.secrets / "database_url").write_text(f"{url}\n")
        web = Container(image, "web", log=logs / "web.log", **environment)
        assert running.enter_context(web).port
        worker = running.enter_context(Container(image, "worker", log=logs / "worker.log"))
        yield Rehearsal(image, web, worker, url)


def make_secrets(directory: Path) -> Path:
    """Runs a copy of docker/make-secrets. Returns the directory with the secrets."""
    script = directory / "docker" / "make-secrets"
    script.parent.mkdir()
    shutil.copy2(PROJECT / "docker" / "make-secrets", script)
    subprocess.run([script], check=True, capture_output=True)
    return script.parent / "secrets"
