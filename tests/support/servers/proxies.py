"""nginx and Caddy on this machine, with the configuration of the composition or of a document."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import DEADLINE_SECONDS, PROJECT, free_port, wait_for
from tests.support.servers.certificates import Authority
from tests.support.servers.containers import composition

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
needs_nginx = pytest.mark.skipif(
    not NGINX and os.environ.get("CI_REQUIRES_NGINX") != "1", reason="nginx is not installed"
)
CADDY = shutil.which("caddy")
needs_caddy = pytest.mark.skipif(not CADDY, reason="Caddy is not installed")


HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
needs_haproxy = pytest.mark.skipif(not HAPROXY, reason="HAProxy is not installed")


class Proxy:
    """nginx with the configuration of the composition, in front of one service."""

    def __init__(self, directory: Path, *web_ports: int) -> None:
        self.http_port, self.https_port = free_port(), free_port()
        self.access_log = directory / "access.log"
        self.tls = directory / "tls"
        self.tls.mkdir()
        self._places = {
            "/tmp/": f"{directory}/",  # noqa: S108 - in the container
            "/dev/stdout": str(self.access_log),
            "/etc/nginx/tls": str(self.tls),
            "listen 8080": f"listen 127.0.0.1:{self.http_port}",
            "listen 8443": f"listen 127.0.0.1:{self.https_port}",
        }
        self._configuration = directory / "nginx.conf"
        text = (PROJECT / "docker" / "nginx.conf").read_text()
        # In the composition, the name `web` has the addresses of all replicas.
        servers = r"\n".join(rf"server 127.0.0.1:{port}\1;" for port in web_ports)
        text, found = re.subn(r"server web:3000 resolve(.*);", servers, text)
        assert found == 1
        self._configuration.write_text(self.translated(text))

    def translated(self, text: str) -> str:
        for place, ours in self._places.items():
            text = text.replace(place, ours)
        return text

    @property
    def command(self) -> list[str]:
        """Returns the command of the composition. If nginx runs as root, so do its workers."""
        service = composition()["services"]["proxy"]
        arguments = [
            argument.replace("/etc/nginx/nginx.conf", str(self._configuration))
            for argument in service["command"]
        ]
        assert NGINX
        assert service["entrypoint"] == ["nginx"]
        return [NGINX, *arguments, *(["-g", "user root;"] if os.geteuid() == 0 else [])]

    def errors(self) -> str:
        """Returns the errors that nginx finds in its configuration."""
        tested = subprocess.run([*self.command, "-t", "-q"], capture_output=True, text=True)
        return tested.stderr

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        stop = signal.Signals[composition()["services"]["proxy"]["stop_signal"]]
        with _running(self.command, port=self.http_port, stop=stop):
            yield self


@contextmanager
def nginx(servers: str, directory: Path, *, port: int) -> Iterator[None]:
    """Runs nginx with these `server` blocks until the block ends."""
    scratch = "\n".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log stderr crit; {user} events {{}}\n"
        f"http {{ {scratch} access_log off;\n{servers} }}"
    )
    assert NGINX
    with _running([NGINX, "-c", str(directory / "nginx.conf"), "-e", "stderr"], port=port):
        yield


@contextmanager
def caddy(sites: str, directory: Path, *, port: int) -> Iterator[None]:
    """Runs Caddy with these options and sites until the block ends. Its log is `caddy.log`."""
    options = f"{{\nadmin off\nauto_https off\nlog {{\noutput file {directory}/caddy.log"
    sites, found = re.subn(r"^\{\s+log \{", options, sites, count=1, flags=re.MULTILINE)
    assert found
    (directory / "Caddyfile").write_text(sites)
    assert CADDY
    home = {"XDG_CONFIG_HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    command = [CADDY, "run", "--config", str(directory / "Caddyfile")]
    with _running(command, port=port, environ=home):
        yield


@contextmanager
def haproxy(configuration: str, directory: Path, *, port: int) -> Iterator[None]:
    """Runs HAProxy with this configuration until the block ends."""
    file = directory / "haproxy.cfg"
    file.write_text(configuration)
    assert HAPROXY
    with _running([HAPROXY, "-q", "-db", "-f", str(file)], port=port):
        yield


@contextmanager
def _running(
    command: list[str],
    *,
    port: int,
    stop: int = signal.SIGTERM,
    environ: dict[str, str] | None = None,
) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | (environ or {}))
    try:
        wait_for(lambda: is_open(port) or process.poll() is not None)
        assert process.poll() is None
        yield
    finally:
        process.send_signal(stop)
        process.wait(DEADLINE_SECONDS)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_certificate(directory: Path) -> None:
    """Makes the certificate that nginx reads, and `ca.pem` for its clients."""
    authority = Authority(directory, "ca")
    pair = authority.pair("localhost")
    authority.file.rename(directory / "ca.pem")
    pair.certificate.rename(directory / "fullchain.pem")
    pair.key.rename(directory / "privkey.pem")
