"""The operator's guide: its names exist, and its examples are valid."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from bin.generated import COMPOSE_VARIABLES
from options.catalogue import CATALOGUE, OWN_OPTIONS
from tests.support.commands import execute
from tests.support.processes import PROJECT, free_port
from tests.support.servers.containers import composition
from tests.support.servers.proxies import NGINX, make_certificate, needs_nginx

GUIDE = (PROJECT / "docs" / "operations.md").read_text()


def block(language: str, first_line: str) -> str:
    """Returns the guide's listing that begins with the line."""
    found = re.search(
        rf"^```{language}\n{re.escape(first_line)}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE
    )
    assert found
    return found[1]


def test_every_variable_in_the_guide_exists() -> None:
    known = (
        {option.env for option in OWN_OPTIONS}
        | {option.env for option in CATALOGUE}
        | {name for name, _, _ in COMPOSE_VARIABLES}
    )

    named = set(re.findall(r"\b((?:CODER|CODERAPI|PROXY|DATABASE|CACHE)_[A-Z_]+)\b", GUIDE))

    assert named
    assert named <= known


def test_every_service_in_the_guide_is_in_the_composition() -> None:
    named = re.findall(r"docker compose exec (?:-T )?(\w+)", GUIDE)
    stopped = re.findall(r"docker compose stop ([\w ]+)$", GUIDE, re.MULTILINE)

    assert {*named, *(name for names in stopped for name in names.split())} <= set(
        composition()["services"]
    )


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if not verifier:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "coderapi.service"
    text = block("ini", "# /etc/systemd/system/coderapi.service")
    unit.write_text(text.replace("/opt/coderapi/bin", str(PROJECT / "bin")))

    # Only root may write to /run, the runtime directory of the system's units.
    mode = [] if os.geteuid() == 0 else ["--user"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = execute([verifier, *mode, "verify", "--recursive-errors=no", unit], env=environment)

    assert (done.returncode, done.stderr) == (0, "")


@needs_nginx
def test_nginx_accepts_the_site(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    site = block(
        "nginx",
        "# nginx. With max_fails=0, a server that refused a connection is used again at once.",
    ).replace("/etc/ssl/coder", str(tmp_path))
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n"
        + "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + site.replace("listen 443", f"listen 127.0.0.1:{free_port()}")
        + "}\n"
    )
    assert NGINX

    done = execute([NGINX, "-e", "stderr", "-t", "-q", "-c", configuration])

    assert (done.returncode, done.stderr) == (0, "")
