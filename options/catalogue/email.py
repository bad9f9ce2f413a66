"""Options for the mail server, with their current and their old names."""

from __future__ import annotations

import dataclasses
from functools import partial

from options.catalogue.groups import (
    EMAIL,
    EMAIL_AUTH,
    EMAIL_TLS,
    OLD_EMAIL,
    OLD_EMAIL_AUTH,
    OLD_EMAIL_TLS,
)
from options.option import Option
from options.values.scalars import Bool, Text

_email_option = partial(Option, group=EMAIL, obeyed=True)
_email_auth_option = partial(Option, group=EMAIL_AUTH, obeyed=True)
_email_tls_option = partial(Option, group=EMAIL_TLS, obeyed=True)

EMAIL_OPTIONS = (
    _email_option(
        "Email: From Address",
        "The sender address of e-mails. It is required for sending e-mail.",
        Text(),
        env="CODER_EMAIL_FROM",
    ),
    _email_option(
        "Email: Smarthost",
        "The mail server, as host:port. It is required for sending e-mail.",
        Text(),
        env="CODER_EMAIL_SMARTHOST",
    ),
    _email_option(
        "Email: Hello",
        "The host name that the server sends in its greeting to the mail server.",
        Text(),
        env="CODER_EMAIL_HELLO",
        remark="coderapi greets with the host name of its machine, and does not start with "
        "another value than the default.",
        obeyed=False,
        default="localhost",
    ),
    _email_option(
        "Email: Force TLS",
        "Connect to the mail server with TLS from the start. Enable it for port 465.",
        Bool(),
        env="CODER_EMAIL_FORCE_TLS",
        default="false",
    ),
    _email_auth_option(
        "Email Auth: Identity",
        "The identity for authentication at the mail server, if it differs from the username.",
        Text(),
        env="CODER_EMAIL_AUTH_IDENTITY",
        remark="coderapi does not start if this option is set together with Email: Smarthost.",
        obeyed=False,
    ),
    _email_auth_option(
        "Email Auth: Username",
        "The username for authentication at the mail server.",
        Text(),
        env="CODER_EMAIL_AUTH_USERNAME",
    ),
    _email_auth_option(
        "Email Auth: Password",
        "The password for authentication at the mail server.",
        Text(),
        env="CODER_EMAIL_AUTH_PASSWORD",
        secret=True,
    ),
    _email_auth_option(
        "Email Auth: Password File",
        "A file with the mail server's password. Use it to keep the password out of the "
        "environment.",
        Text(),
        env="CODER_EMAIL_AUTH_PASSWORD_FILE",
    ),
    _email_tls_option(
        "Email TLS: StartTLS",
        "Connect to the mail server without encryption and then switch to TLS. Enable it for port "
        "587.",
        Bool(),
        env="CODER_EMAIL_TLS_STARTTLS",
        yaml="startTLS",
    ),
    _email_tls_option(
        "Email TLS: Server Name",
        "The host name in the mail server's certificate, if it differs from the host in Email: "
        "Smarthost.",
        Text(),
        env="CODER_EMAIL_TLS_SERVERNAME",
        remark="coderapi does not start if this option is set together with Email: Smarthost. "
        "Let Email: Smarthost contain the name in the certificate.",
        obeyed=False,
        flag="email-tls-server-name",
    ),
    _email_tls_option(
        "Email TLS: Skip Certificate Verification (Insecure)",
        "Do not verify the certificate of the mail server. An attacker in the network can then "
        "read e-mails and the password.",
        Bool(),
        env="CODER_EMAIL_TLS_SKIPVERIFY",
        remark="coderapi does not start if this option is enabled together with Email: "
        "Smarthost. Trust the certificate with the environment variable SSL_CERT_FILE.",
        obeyed=False,
        flag="email-tls-skip-verify",
        yaml="insecureSkipVerify",
    ),
    _email_tls_option(
        "Email TLS: Certificate Authority File",
        "A file with the CA certificates that verify the mail server's certificate, in PEM format.",
        Text(),
        env="CODER_EMAIL_TLS_CACERTFILE",
        remark="coderapi does not start if this option is set together with Email: Smarthost. "
        "Use the environment variable SSL_CERT_FILE.",
        obeyed=False,
        flag="email-tls-ca-cert-file",
        json_path="notifications.email.tls.ca_file",
    ),
    _email_tls_option(
        "Email TLS: Certificate File",
        "The file with the client certificate for the mail server, in PEM format. Set it if the "
        "mail server requires a client certificate.",
        Text(),
        env="CODER_EMAIL_TLS_CERTFILE",
        remark="coderapi does not start if this option is set together with Email: Smarthost.",
        obeyed=False,
        flag="email-tls-cert-file",
    ),
    _email_tls_option(
        "Email TLS: Certificate Key File",
        "The file with the private key of the client certificate, in PEM format.",
        Text(),
        env="CODER_EMAIL_TLS_CERTKEYFILE",
        remark="coderapi does not start if this option is set together with Email: Smarthost.",
        obeyed=False,
        flag="email-tls-cert-key-file",
        json_path="notifications.email.tls.key_file",
    ),
)

_OLD_GROUPS = {EMAIL: OLD_EMAIL, EMAIL_AUTH: OLD_EMAIL_AUTH, EMAIL_TLS: OLD_EMAIL_TLS}


def _old_name(option: Option) -> Option:
    """Returns the old form of an e-mail option, which was an option for notifications."""
    assert option.group is not None  # noqa: S101  # All e-mail options have groups.
    return dataclasses.replace(
        option,
        name=f"Notifications: {option.name}",
        description=f"The old name of {option.name}.",
        env=option.env.replace("CODER_", "CODER_NOTIFICATIONS_"),
        flag=f"notifications-{option.flag}",
        default="",
        group=_OLD_GROUPS[option.group],
        use_instead=(option.name,),
    )


OLD_EMAIL_OPTIONS = tuple(_old_name(option) for option in EMAIL_OPTIONS)
