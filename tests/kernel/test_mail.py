"""E-mail is sent as the options configure it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.commands import manage
from tests.support.mail_server import Mailbox, mail_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("mail"))


def serving(authority: Authority, name: str) -> ssl.SSLContext:
    pair = authority.pair(name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def send(mailbox: Mailbox, *, host: str = "localhost", **options: str) -> int:
    """Sends one e-mail with these options. Returns the command's exit status."""
    environ = {
        "CODER_EMAIL_FROM": "from@example.com",
        "CODER_EMAIL_SMARTHOST": f"{host}:{mailbox.port}",
        **{f"CODER_EMAIL_{name}": text for name, text in options.items()},
    }
    return manage("sendtestemail", "to@example.com", **environ).returncode


def test_message_goes_to_the_smarthost_from_the_sender() -> None:
    with mail_server() as mailbox:
        assert send(mailbox, HELLO="we.example.com") == 0
    said = [line.lower().partition(" size=")[0] for line in mailbox.lines]
    assert said[0] == "ehlo we.example.com"
    assert {"mail from:<from@example.com>", "rcpt to:<to@example.com>"} <= set(said)
    assert not mailbox.was_encrypted
    assert mailbox.sign_ins == []


def test_signs_in_with_identity_and_a_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("word\n", encoding="utf-8")
    named = {"AUTH_USERNAME": "me", "AUTH_IDENTITY": "them"}
    with mail_server() as mailbox:
        assert send(mailbox, AUTH_PASSWORD_FILE=str(file), **named) == 0
        assert send(mailbox, AUTH_PASSWORD="direct", AUTH_USERNAME="me") == 0
    assert mailbox.sign_ins == ["them\0me\0word", "\0me\0direct"]


def test_certificate_is_checked_against_the_authority_and_name(authority: Authority) -> None:
    context = serving(authority, "starttls")
    trusted = {"TLS_STARTTLS": "true", "TLS_CACERTFILE": str(authority.file)}
    with mail_server(context) as mailbox:
        assert send(mailbox, **trusted) == 0
        assert mailbox.was_encrypted
        assert send(mailbox, TLS_STARTTLS="true") != 0
        assert send(mailbox, **trusted, TLS_SERVERNAME="other.example.com") != 0
        assert send(mailbox, TLS_STARTTLS="true", TLS_SKIPVERIFY="true") == 0


def test_tls_from_the_first_byte_with_a_certificate_of_ours(authority: Authority) -> None:
    context = serving(authority, "forced")
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.pair("mailing")
    options = {"FORCE_TLS": "true", "TLS_CACERTFILE": str(authority.file)}
    shown = {"TLS_CERTFILE": str(client.certificate), "TLS_CERTKEYFILE": str(client.key)}
    with mail_server(context, encrypts_at_once=True) as mailbox:
        assert send(mailbox, **options, **shown) == 0
        assert any("to@example.com" in line for line in mailbox.lines)


def test_without_a_smarthost_nothing_can_be_sent() -> None:
    with mail_server() as mailbox:
        assert send(mailbox, SMARTHOST="") != 0
    assert mailbox.lines == []
