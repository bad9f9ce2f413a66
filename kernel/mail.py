"""Configures e-mail from Coder's options: Django's setting MAILERS, and a backend."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from django.core.mail.backends.smtp import EmailBackend

TIMEOUT_SECONDS = 10
# The options that Django's backend lacks.
CODERS = (
    *("hello", "auth.identity", "auth.password_file"),
    *("tls.server_name", "tls.insecure_skip_verify", "tls.ca_file"),
)


def mailers(email: Callable[[str], Any]) -> dict[str, dict[str, Any]]:
    """Returns Django's setting MAILERS. Without a mail server, it is empty and e-mail is disabled.

    `email` returns the value of an option under `notifications.email`.
    """
    host, _, port = email("smarthost").rpartition(":")
    if not email("smarthost"):
        return {}
    return {
        "default": {
            "BACKEND": "kernel.mail.SmarthostBackend",
            "OPTIONS": {
                "host": (host or port).removeprefix("[").removesuffix("]"),
                "port": int(port) if host and port else None,
                "username": email("auth.username"),
                "password": email("auth.password"),
                "use_ssl": email("force_tls"),
                "use_tls": email("tls.start_tls") and not email("force_tls"),
                "ssl_certfile": email("tls.cert_file"),
                "ssl_keyfile": email("tls.key_file"),
                "timeout": TIMEOUT_SECONDS,
                "coders": {name: email(name) for name in CODERS},
            },
        }
    }


class NamedContext(ssl.SSLContext):
    """A TLS context that checks the certificate for `server_name` instead of the host's name."""

    server_name = ""

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        if self.server_name:
            options["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **options)


class SmarthostBackend(EmailBackend):
    """Django's SMTP backend with the options of Coder that Django lacks."""

    def __init__(self, *, coders: dict[str, Any], **options: Any) -> None:
        file = coders["auth.password_file"]
        if file and not options["password"]:
            options["password"] = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        super().__init__(**options)
        self._coders = coders

    @property
    def connection_class(self) -> Callable[..., smtplib.SMTP]:  # type: ignore[override]
        session = super().connection_class

        def connect(host: str, port: int, **options: Any) -> smtplib.SMTP:
            options["local_hostname"] = self._coders["hello"]
            connection: Any = session(host, port, **options)
            # The user acts as this identity (RFC 4616).
            plain = f"{self._coders['auth.identity']}\0{self.username}\0{self.password}"
            connection.auth_plain = lambda challenge=None: plain
            return cast("smtplib.SMTP", connection)

        return connect

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = self._coders["tls.server_name"]
        if self._coders["tls.insecure_skip_verify"]:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._coders["tls.ca_file"]:
            context.load_verify_locations(self._coders["tls.ca_file"])
        else:
            context.load_default_certs()
        if self.ssl_certfile:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile or None)
        return context
