"""The examples in the documents work, on a service of their own."""

from __future__ import annotations

import csv
import os
import re
import shutil
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.utils import timezone

from coderapi.postgres.clients import programs_for
from options.catalogue import CATALOGUE
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.coder.tables import coder_database
from tests.support.commands import execute
from tests.support.processes import PACKAGES, PROJECT, own_database
from tests.support.servers.live import Server, obeying

DOCUMENTS = [
    *(PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"),
    *sorted(PROJECT.glob("docs/*.md")),
]
PROGRAM = PROJECT / "bin/coderapi"
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)

# Every other block runs as it is written. The keys are the beginnings of blocks.
NOT_RUN = {
    "git clone": "fetches from the network; bin/prove clones",
    "make ": "runs until it is stopped, or for minutes; bin/prove runs make serve",
    "bin/release": "builds and installs; bin/release check runs it",
    "docker": "needs Docker; test_image_commands runs the commands of the composition",
    "coder ": "is Coder's program, which is not installed",
    "openapi-python-client": "test_generated_clients runs the generators",
    "systemctl": "changes this machine; test_operations checks the unit",
    "sudo": "needs the account and the directory of the service under systemd",
    "export CODERAPI_ENV_FILE": "runs until it is stopped; test_check_coder starts such a server",
    "export CODERAPI_DATA_DIR": "makes a new database from the old data; test_other_releases does",
    "CODER_PROMETHEUS_ENABLE": "runs until it is stopped; test_metrics scrapes such a server",
    "coderapi check_coder": "shows a failed check; test_proxies runs the command",
    "export CODERAPI_CODER_DATABASE_URL": "shows failed checks; test_check_coder runs the command",
}

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
# An example whose request fails must fail the test.
PRELUDE = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


def commands_in(language: str, text: str) -> str:
    if language == "sh":
        return text
    return "".join(line[2:] + "\n" for line in text.splitlines() if line.startswith("$ "))


EXAMPLES = {
    str(path.relative_to(PROJECT)): [
        commands_in(*found.groups()) for found in BLOCK.finditer(path.read_text())
    ]
    for path in DOCUMENTS
}


def reason_not_to_run(block: str) -> str:
    return next((why for begin, why in NOT_RUN.items() if block.startswith(begin)), "")


# The blocks of a document run in its order.
RUN = {
    name: run
    for name, blocks in EXAMPLES.items()
    if (run := [block for block in blocks if not reason_not_to_run(block)])
}


def test_excluded_examples_exist() -> None:
    excluded = {reason_not_to_run(block) for blocks in EXAMPLES.values() for block in blocks}
    assert set(NOT_RUN.values()) <= excluded
    assert sum(map(len, RUN.values())) > 40


def test_documents_call_the_program_by_one_name() -> None:
    """Except the measured names of processes, of which one comes from the entry point."""
    others = [path for path in DOCUMENTS if path.name != "performance.md"]
    assert [path.name for path in others if "manage.py" in path.read_text()] == []


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    first = {"USERNAME": "ada", "EMAIL": EMAIL, "PASSWORD": PASSWORD}
    with obeying(
        "--web-only", **{f"CODERAPI_FIRST_OWNER_{k}": v for k, v in first.items()}
    ) as found:
        yield found


@pytest.fixture(scope="module")
def environ(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables that the documents introduce."""
    programs = programs_for(service.database).directory
    (place := tmp_path_factory.mktemp("bin")).joinpath("coderapi").symlink_to(PROGRAM)
    with (
        coder_database(timezone.now()) as (coders, _),
        own_database() as backed_up,
        StandInCoder() as coder,
    ):
        found = {
            **os.environ,
            "PATH": f"{place}:{programs}:{os.environ['PATH']}",
            "DATABASE_URL": service.database,
            "CODER_URL": f"http://127.0.0.1:{service.port}",
            "CODER_SESSION_TOKEN": service.owner_token,
            "CODER_DATABASE": coders,
            "CODERAPI_CODER_DATABASE_URL": coders,
            "CODERAPI_CODER_URL": coder.url,
            "CODERAPI_CODER_TOKEN": coder.add(Key(Person("service", ("owner",)))).token,
            "BACKED_UP": backed_up,
        }
        create = "coderapi create_user --role owner --username alice --email alice@example.com"
        bash(create, found, cwd=tmp_path_factory.mktemp("cwd"))
        yield found


def bash(script: str, environ: dict[str, str], *, cwd: Path) -> str:
    # `create_user` reads the password.
    typed = f"{PASSWORD}\n"
    done = execute(["bash", "-c", PRELUDE + script], cwd=cwd, env=environ, typed=typed)
    assert done.returncode in {0, 141}, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("document", RUN)
def test_examples_run(document: str, environ: dict[str, str], tmp_path: Path) -> None:
    shown = {
        "http://127.0.0.1:3000": environ["CODER_URL"],
        "postgresql://reader@db.example.com/coder": environ["CODER_DATABASE"],
        "postgresql://coderapi_reader:password@db.example.com/coder": environ["CODER_DATABASE"],
        "7bjJtlrsyk-…": environ["CODER_SESSION_TOKEN"],
        "<the token that was printed>": environ["CODER_SESSION_TOKEN"],
    }
    for script in RUN[document]:
        for text, here in shown.items():
            script = script.replace(text, here)
        if "jq " in script and not shutil.which("jq"):
            continue
        # A restore would replace the data of the other examples.
        other = re.search(r" (?:backup|postgres|restore) ", script)
        used = environ | ({"DATABASE_URL": environ["BACKED_UP"]} if other else {})
        if "agents.csv.rejected" in script:
            break_first_row(tmp_path / "agents.csv")
            bash("! coderapi import_agent_stats agents.csv", used, cwd=tmp_path)
        bash(script, used, cwd=tmp_path)


def break_first_row(path: Path) -> None:
    """Reduces the file to its header and one bad row, as in the document."""
    with path.open(newline="") as file:
        header, row, *_ = csv.reader(file)
    row[header.index("rx_bytes")] = "12 MB"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, row])


# --- Commands within sentences ----------------------------------------------------------------

MENTIONS = sorted(
    {
        (document.name, found[1])
        for document in DOCUMENTS
        for found in re.finditer(r"`coderapi ([a-z_]+(?: [^`\n|]*)?)", document.read_text())
    }
)


@pytest.mark.parametrize(("document", "mention"), MENTIONS)
def test_mentioned_command_has_the_mentioned_options(document: str, mention: str) -> None:
    name, *words = mention.split()
    assert name in get_commands() or name == "help"
    if get_commands().get(name) not in PACKAGES or name == "postgres":
        return
    parser = load_command_class(get_commands()[name], name).create_parser("coderapi", name)
    known = flags_of(parser) | {f"--{option.flag}" for option in CATALOGUE}
    named = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    assert named <= known


def flags_of(parser: ArgumentParser) -> set[str]:
    """Returns the options of the parser and its sub-parsers."""
    found = {flag for action in parser._actions for flag in action.option_strings}
    inner = [each.choices for each in parser._actions if isinstance(each.choices, dict)]
    return found.union(*(flags_of(each) for choices in inner for each in choices.values()))
