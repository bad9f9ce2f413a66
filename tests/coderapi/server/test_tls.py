"""HTTPS with the TLS options, and their errors."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from coderapi.server.certificates import CertificateError, tls_context
from coderapi.startup.addresses import AddressError, claim_all
from options.configuration import load
from tests.support.servers.certificates import Authority, Pair
from tests.support.servers.live import Server, obeying

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Server]:
    """A server with HTTPS and HTTP."""
    options = {
        **files(authority.pair("server")),
        "CODER_TLS_ADDRESS": "127.0.0.1:0",
        "CODER_TLS_MIN_VERSION": "tls13",
        "CODER_TLS_REDIRECT_HTTP_TO_HTTPS": "true",
        "CODER_ACCESS_URL": "https://coder.example.com",
    }
    with obeying("--web-only", "--disable-password-auth", **options) as found:
        yield found


def files(pair: Pair) -> dict[str, str]:
    """Returns the options of a server with this certificate and key."""
    names = {"CERT_FILE": str(pair.certificate), "KEY_FILE": str(pair.key), "ENABLE": "true"}
    return {f"CODER_TLS_{name}": value for name, value in names.items()}


def test_https_is_served_beside_http_which_an_old_option_redirects(
    server: Server, authority: Authority
) -> None:
    trusting, host = authority.trusting(), "coder.example.com"
    assert [server.ask("/healthz", tls=tls).status for tls in (None, trusting)] == [200, 200]
    answer = server.ask("/api/v2/buildinfo", Host=host)
    moved = (answer.status, answer.headers["Location"])
    assert moved == (307, "https://coder.example.com/api/v2/buildinfo")
    assert server.ask("/api/v2/buildinfo", Host=host, tls=trusting).status == 200
    # Versions below the minimum are rejected.
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        server.ask("/healthz", tls=trusting)


@pytest.mark.slow
def test_used_address_is_an_error_with_the_option_for_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = {"CODERAPI_HTTP_ADDRESS": "", "http_address": "", "prometheus.address": ""}
        with pytest.raises(AddressError, match=f"{address}: .* with --tls-address or CODER_TLS"):
            claim_all({**found, "tls.enable": True, "tls.address": address})


def test_password_authentication_can_be_disabled(server: Server) -> None:
    assert server.ask("/api/v2/users/authmethods").json["password"] == {"enabled": False}
    assert server.sign_in().status == 403


def test_clients_must_present_a_certificate_of_the_authority(authority: Authority) -> None:
    client = authority.pair("client")
    stranger = Authority(authority.directory, "stranger").pair("stranger")
    with obeying(
        "--web-only",
        **files(authority.pair("strict")),
        CODER_ADDRESS="127.0.0.1:0",
        CODER_TLS_CLIENT_AUTH="require-and-verify",
        CODER_TLS_CLIENT_CA_FILE=str(authority.file),
    ) as found:
        answer = found.ask("/api/v2/buildinfo", tls=authority.trusting(client))
        assert answer.json["dashboard_url"] == f"https://127.0.0.1:{found.port_of('https')}"
        for wrong in (None, stranger):
            with pytest.raises((OSError, HTTPException)):
                found.ask("/healthz", tls=authority.trusting(wrong))
        # The old option sets the address of HTTPS, and disables HTTP.
        assert "Ready: http://" not in found.log.read_text()


# --- Errors -----------------------------------------------------------------------------------


def options(certificate_file: Path, key_file: Path, **more: str) -> Any:
    return load(files(Pair(certificate_file, key_file)) | more)


def error_for(found: Any) -> str:
    with pytest.raises(CertificateError) as raised:
        tls_context(found, now=NOW)
    return str(raised.value)


def test_unusable_files_are_named(authority: Authority, tmp_path: Path) -> None:
    one, other, missing = authority.pair("one"), authority.pair("other"), tmp_path / "missing"
    strict = {"CLIENT_AUTH": "require-and-verify", "CLIENT_CA_FILE": str(missing)}
    more = {f"CODER_TLS_{name}": value for name, value in strict.items()}
    for found, said in (
        (options(one.certificate, missing), f"TLS Key Files: {missing} cannot be read"),
        (options(missing, one.key), f"TLS Certificate Files: {missing} cannot be read"),
        (options(one.key, one.key), "does not contain a certificate in PEM format"),
        (options(one.certificate, one.certificate), "does not contain a private key in PEM format"),
        (options(one.certificate, other.key), "does not match the private key"),
        (options(one.certificate, one.key, **more), f"TLS Client CA Files: {missing} cannot be"),
    ):
        assert said in error_for(found)
    pair = authority.pair("encrypted key", form="pkcs8", password=b"word")
    error = error_for(options(pair.certificate, pair.key))
    assert "is encrypted" in error
    assert "openssl pkcs8 -topk8 -nocrypt -in " in error


@pytest.mark.parametrize("form", ["traditional", "pkcs8"])
def test_key_may_have_each_form(authority: Authority, form: str) -> None:
    pair = authority.pair(f"key of {form} form", form=form)
    context = tls_context(options(pair.certificate, pair.key), now=NOW)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
