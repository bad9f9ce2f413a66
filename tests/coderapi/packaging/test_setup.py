"""bin/setup with stand-ins for Python and uv. Nothing is downloaded."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.commands import execute
from tests.support.processes import PROJECT

OLD_PYTHON = '[ "$1" != --version ] || { echo "Python 3.11.2"; exit 0; }; exit 1'
# Creates an environment as `python -m venv` and `uv venv` do. Its Python only records its calls.
CREATE = """
echo "${0##*/} $*" >>calls
for folder; do :; done
mkdir -p "$folder/bin"
printf '#!/bin/sh\\necho "in the environment: $*" >>calls\\n' >"$folder/bin/python"
chmod +x "$folder/bin/python"
"""
NEW_PYTHON = f'[ "$1" != -c ] || exit 0\n[ "$1" != --version ] || exit 0\n{CREATE}'
INSTALL = "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock"


class Machine:
    """A copy of bin/setup on a machine that only has the programs of the test."""

    def __init__(self, root: Path) -> None:
        self.root, self.programs = root, root / "usr/bin"
        for folder in (root / "bin", root / "etc", self.programs):
            folder.mkdir(parents=True)
        text = (PROJECT / "bin/setup").read_text()
        for system in ("/usr/", "/etc/"):
            text = text.replace(f" {system}", f" {root}{system}")
        self.add("bin/setup", text)
        (root / "requirements.lock").write_text("")
        for program in ("cat", "cksum", "mkdir", "chmod", "rm"):
            (self.programs / program).symlink_to(shutil.which(program) or "")

    def add(self, path: str, text: str) -> None:
        """Adds a program, by default to those of the system."""
        file = self.root / path if "/" in path else self.programs / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def setup(self) -> tuple[int, str]:
        """Returns the exit status, and the errors."""
        environ = {"PATH": str(self.programs), "HOME": str(self.root / "home")}
        command = ["/bin/sh", "bin/setup", "run"]
        done = execute(command, cwd=self.root, env=environ, start_new_session=True)
        return done.returncode, done.stderr

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("uv", ["uv", "home/.local/bin/uv"])
def test_uv_brings_its_own_python_where_the_system_has_an_old_one(
    machine: Machine, uv: str
) -> None:
    machine.add("python3", OLD_PYTHON)
    machine.add(uv, CREATE)
    assert machine.setup()[0] == 0
    assert machine.calls() == [
        "uv venv --quiet --seed --python 3.13 .venv",
        f"in the environment: {INSTALL}",
    ]
    # The second run finds everything installed.
    assert machine.setup() == (0, "")
    (second,) = machine.calls()[2:]
    assert "-m pip" not in second


@pytest.mark.parametrize("program", ["-m venv", "-m pip install"])
def test_ctrl_c_stops_without_a_traceback(machine: Machine, program: str) -> None:
    interrupted = f'case "$*" in *"{program}"*) echo Traceback >&2; kill -INT 0; exit 1 ;; esac'
    machine.add("python3", NEW_PYTHON.replace(CREATE, f"{interrupted}\n{CREATE}"))
    if program != "-m venv":
        machine.add(".venv/bin/python", interrupted)
    status, output = machine.setup()
    assert (status, output.splitlines()[-1], "Traceback" in output) == (130, "Stopped", False)


def test_failure_of_a_program_is_shown(machine: Machine) -> None:
    machine.add(".venv/bin/python", '[ "$3" != install ] || { echo no network; exit 1; }')
    status, output = machine.setup()
    assert (status, output.splitlines()[-1]) == (1, "no network")


def test_python_of_the_system_is_preferred_to_uv(machine: Machine) -> None:
    machine.add("python3", NEW_PYTHON)
    machine.add("uv", CREATE)
    assert machine.setup()[0] == 0
    assert machine.calls()[0] == "python3 -m venv --clear .venv"


WITH_PIPX, WITH_APT = (
    "apt-get install pipx && pipx install uv",
    "apt-get install python3 python3-venv",
)


@pytest.mark.parametrize(
    ("release", "commands"),
    [
        ('ID=debian\nVERSION_ID="12"\n', WITH_PIPX),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', WITH_PIPX),
        ('ID=debian\nVERSION_ID="13"\n', WITH_APT),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', WITH_APT),
        ('ID="rocky"\nVERSION_ID="9.4"\n', "dnf install python3.12"),
        ("ID=arch\n", "https://docs.astral.sh/uv/"),
    ],
)
def test_commands_that_work_on_this_system_are_named(
    machine: Machine, release: str, commands: str
) -> None:
    machine.add("python3", OLD_PYTHON)
    (machine.root / "etc/os-release").write_text(release)
    status, complaint = machine.setup()
    assert status == 1
    for text in ("or uv. Found: Python 3.11.2.", commands, "Docker"):
        assert text in complaint


def test_environment_of_an_old_python_is_replaced(machine: Machine) -> None:
    machine.add("python3", OLD_PYTHON)
    machine.add(".venv/bin/python", OLD_PYTHON.replace("exit 1", "[ $1 != -c ]"))
    machine.add("uv", CREATE)
    assert machine.setup()[0] == 0
    assert machine.calls()[0].startswith("uv venv")


def test_every_python_runs_a_command_with_the_packages_of_the_checkout(machine: Machine) -> None:
    # These files run before others are imported.
    startup = ("coderapi/startup/__init__.py", "coderapi/startup/exit_status.py")
    for name in ("manage.py", "bin/coderapi", "coderapi/__init__.py", *startup):
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, machine.root / name)

    def run(*arguments: str) -> tuple[int, str]:
        """Runs manage.py with a Python that has no packages."""
        done = execute([sys.executable, "-S", "manage.py", *arguments], cwd=machine.root)
        return done.returncode, done.stdout + done.stderr

    status, output = run("list_users")
    assert (status, output.count("\n"), "Run `bin/setup run`" in output) == (1, 1, True)
    machine.add(".venv/bin/python", 'echo "in the environment: $*"')
    assert run("list_users", "--json") == (
        0,
        "in the environment: manage.py list_users --json\n",
    )
