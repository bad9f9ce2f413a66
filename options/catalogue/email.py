"""The mail server."""

from __future__ import annotations

from options.catalogue.groups import EMAIL, EMAIL_EMAIL_AUTHENTICATION, EMAIL_EMAIL_TLS
from options.option import Option
from options.values import Bool, Text

EMAIL_OPTIONS = (
    Option(
        name="Email: From Address",
        description="The sender of the server's e-mails. Required to send any.",
        type=Text(),
        json_path="notifications.email.from",
        env="CODER_EMAIL_FROM",
        flag="email-from",
        yaml="from",
        group=EMAIL,
        obeyed=True,
    ),
    Option(
        name="Email: Smarthost",
        description="The mail server that takes e-mails, as host:port. Required to send any.",
        type=Text(),
        json_path="notifications.email.smarthost",
        env="CODER_EMAIL_SMARTHOST",
        flag="email-smarthost",
        yaml="smarthost",
        group=EMAIL,
        obeyed=True,
    ),
    Option(
        name="Email: Hello",
        description="The host name with which the server introduces itself to the mail server.",
        type=Text(),
        json_path="notifications.email.hello",
        env="CODER_EMAIL_HELLO",
        flag="email-hello",
        yaml="hello",
        default="localhost",
        group=EMAIL,
        obeyed=True,
    ),
    Option(
        name="Email: Force TLS",
        description="Speak TLS to the mail server from the first byte. Switch it on for port 465.",
        type=Bool(),
        json_path="notifications.email.force_tls",
        env="CODER_EMAIL_FORCE_TLS",
        flag="email-force-tls",
        yaml="forceTLS",
        default="false",
        group=EMAIL,
        obeyed=True,
    ),
    Option(
        name="Email Auth: Identity",
        description=(
            "The identity to act as at the mail server, where it differs from the user name."
        ),
        type=Text(),
        json_path="notifications.email.auth.identity",
        env="CODER_EMAIL_AUTH_IDENTITY",
        flag="email-auth-identity",
        yaml="identity",
        group=EMAIL_EMAIL_AUTHENTICATION,
        obeyed=True,
    ),
    Option(
        name="Email Auth: Username",
        description="The user name at the mail server.",
        type=Text(),
        json_path="notifications.email.auth.username",
        env="CODER_EMAIL_AUTH_USERNAME",
        flag="email-auth-username",
        yaml="username",
        group=EMAIL_EMAIL_AUTHENTICATION,
        obeyed=True,
    ),
    Option(
        name="Email Auth: Password",
        description="The password at the mail server.",
        type=Text(),
        json_path="notifications.email.auth.password",
        env="CODER_EMAIL_AUTH_PASSWORD",
        flag="email-auth-password",
        group=EMAIL_EMAIL_AUTHENTICATION,
        secret=True,
        obeyed=True,
    ),
    Option(
        name="Email Auth: Password File",
        description=(
            "A file with the password at the mail server. Use it to keep the password out of the "
            "environment."
        ),
        type=Text(),
        json_path="notifications.email.auth.password_file",
        env="CODER_EMAIL_AUTH_PASSWORD_FILE",
        flag="email-auth-password-file",
        yaml="passwordFile",
        group=EMAIL_EMAIL_AUTHENTICATION,
        obeyed=True,
    ),
    Option(
        name="Email TLS: StartTLS",
        description="Begin without encryption and then switch to TLS. Switch it on for port 587.",
        type=Bool(),
        json_path="notifications.email.tls.start_tls",
        env="CODER_EMAIL_TLS_STARTTLS",
        flag="email-tls-starttls",
        yaml="startTLS",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
    Option(
        name="Email TLS: Server Name",
        description=(
            "The host name that the mail server's certificate must carry, where it differs from "
            "the one connected to."
        ),
        type=Text(),
        json_path="notifications.email.tls.server_name",
        env="CODER_EMAIL_TLS_SERVERNAME",
        flag="email-tls-server-name",
        yaml="serverName",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
    Option(
        name="Email TLS: Skip Certificate Verification (Insecure)",
        description=(
            "Accept any certificate of the mail server. Anybody in between can then read e-mails "
            "and the password."
        ),
        type=Bool(),
        json_path="notifications.email.tls.insecure_skip_verify",
        env="CODER_EMAIL_TLS_SKIPVERIFY",
        flag="email-tls-skip-verify",
        yaml="insecureSkipVerify",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
    Option(
        name="Email TLS: Certificate Authority File",
        description=(
            "A file with the certificate authorities that the mail server's certificate is checked "
            "against, in PEM format."
        ),
        type=Text(),
        json_path="notifications.email.tls.ca_file",
        env="CODER_EMAIL_TLS_CACERTFILE",
        flag="email-tls-ca-cert-file",
        yaml="caCertFile",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
    Option(
        name="Email TLS: Certificate File",
        description="The certificate to show to a mail server that asks for one, in PEM format.",
        type=Text(),
        json_path="notifications.email.tls.cert_file",
        env="CODER_EMAIL_TLS_CERTFILE",
        flag="email-tls-cert-file",
        yaml="certFile",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
    Option(
        name="Email TLS: Certificate Key File",
        description=(
            "The private key that belongs to the certificate for the mail server, in PEM format."
        ),
        type=Text(),
        json_path="notifications.email.tls.key_file",
        env="CODER_EMAIL_TLS_CERTKEYFILE",
        flag="email-tls-cert-key-file",
        yaml="certKeyFile",
        group=EMAIL_EMAIL_TLS,
        obeyed=True,
    ),
)
