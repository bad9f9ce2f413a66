"""E-mail is sent as the options configure it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import manage
from tests.support.servers.certificates import Authority
from tests.support.servers.mail_server import Mailbox, mail_server


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
        # Without a smarthost, nothing can be sent.
        assert send(mailbox, SMARTHOST="") != 0
        assert mailbox.lines == []
        assert send(mailbox) == 0
    said = [line.lower().partition(" size=")[0] for line in mailbox.lines]
    assert said[0].startswith("ehlo ")
    assert {"mail from:<from@example.com>", "rcpt to:<to@example.com>"} <= set(said)
    assert (mailbox.was_encrypted, mailbox.sign_ins) == (False, [])


def test_password_is_given_directly_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("word\n", encoding="utf-8")
    with mail_server() as mailbox:
        assert send(mailbox, AUTH_USERNAME="me", AUTH_PASSWORD_FILE=str(file)) == 0
        assert send(mailbox, AUTH_USERNAME="me", AUTH_PASSWORD="direct") == 0
        assert send(mailbox, AUTH_USERNAME="me", AUTH_PASSWORD_FILE="/none") != 0
    assert mailbox.sign_ins == ["\0me\0word", "\0me\0direct"]


@pytest.mark.parametrize("at_once", [True, False])
def test_certificate_must_be_of_a_known_authority_and_of_the_smarthost(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    tls = {"FORCE_TLS" if at_once else "TLS_STARTTLS": "true"}
    with mail_server(authority.pair("mail").serving(), encrypts_at_once=at_once) as mailbox:
        assert send(mailbox, **tls) != 0
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert send(mailbox, **tls) == 0
        assert mailbox.was_encrypted
        # The name resolves to 127.0.0.1, but the certificate does not contain it.
        assert send(mailbox, host="127.1", **tls) != 0
    with mail_server() as mailbox:
        assert send(mailbox, host="127.1") == 0
