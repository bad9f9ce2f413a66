"""Old names of the e-mail options; each shares its value with the new one."""

from __future__ import annotations

from options.catalogue.groups import (
    NOTIFICATIONS_EMAIL,
    NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
    NOTIFICATIONS_EMAIL_EMAIL_TLS,
)
from options.option import Option
from options.values import Bool, Text

NOTIFICATIONS_EMAIL_OPTIONS = (
    Option(
        name="Notifications: Email: From Address",
        description="The old name of the sender of e-mails. Use Email: From Address instead.",
        type=Text(),
        json_path="notifications.email.from",
        env="CODER_NOTIFICATIONS_EMAIL_FROM",
        flag="notifications-email-from",
        yaml="from",
        group=NOTIFICATIONS_EMAIL,
        use_instead=("Email: From Address",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email: Smarthost",
        description="The old name of the mail server. Use Email: Smarthost instead.",
        type=Text(),
        json_path="notifications.email.smarthost",
        env="CODER_NOTIFICATIONS_EMAIL_SMARTHOST",
        flag="notifications-email-smarthost",
        yaml="smarthost",
        group=NOTIFICATIONS_EMAIL,
        use_instead=("Email: Smarthost",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email: Hello",
        description=(
            "The old name of the host name for the mail server's greeting. Use Email: Hello "
            "instead."
        ),
        type=Text(),
        json_path="notifications.email.hello",
        env="CODER_NOTIFICATIONS_EMAIL_HELLO",
        flag="notifications-email-hello",
        yaml="hello",
        group=NOTIFICATIONS_EMAIL,
        use_instead=("Email: Hello",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email: Force TLS",
        description=(
            "The old name of the switch for TLS from the first byte. Use Email: Force TLS instead."
        ),
        type=Bool(),
        json_path="notifications.email.force_tls",
        env="CODER_NOTIFICATIONS_EMAIL_FORCE_TLS",
        flag="notifications-email-force-tls",
        yaml="forceTLS",
        group=NOTIFICATIONS_EMAIL,
        use_instead=("Email: Force TLS",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email Auth: Identity",
        description=(
            "The old name of the identity at the mail server. Use Email Auth: Identity instead."
        ),
        type=Text(),
        json_path="notifications.email.auth.identity",
        env="CODER_NOTIFICATIONS_EMAIL_AUTH_IDENTITY",
        flag="notifications-email-auth-identity",
        yaml="identity",
        group=NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
        use_instead=("Email Auth: Identity",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email Auth: Username",
        description=(
            "The old name of the user name at the mail server. Use Email Auth: Username instead."
        ),
        type=Text(),
        json_path="notifications.email.auth.username",
        env="CODER_NOTIFICATIONS_EMAIL_AUTH_USERNAME",
        flag="notifications-email-auth-username",
        yaml="username",
        group=NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
        use_instead=("Email Auth: Username",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email Auth: Password",
        description=(
            "The old name of the password at the mail server. Use Email Auth: Password instead."
        ),
        type=Text(),
        json_path="notifications.email.auth.password",
        env="CODER_NOTIFICATIONS_EMAIL_AUTH_PASSWORD",
        flag="notifications-email-auth-password",
        group=NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
        secret=True,
        use_instead=("Email Auth: Password",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email Auth: Password File",
        description=(
            "The old name of the file with the mail server's password. Use Email Auth: Password "
            "File instead."
        ),
        type=Text(),
        json_path="notifications.email.auth.password_file",
        env="CODER_NOTIFICATIONS_EMAIL_AUTH_PASSWORD_FILE",
        flag="notifications-email-auth-password-file",
        yaml="passwordFile",
        group=NOTIFICATIONS_EMAIL_EMAIL_AUTHENTICATION,
        use_instead=("Email Auth: Password File",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: StartTLS",
        description="The old name of the switch for STARTTLS. Use Email TLS: StartTLS instead.",
        type=Bool(),
        json_path="notifications.email.tls.start_tls",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_STARTTLS",
        flag="notifications-email-tls-starttls",
        yaml="startTLS",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: StartTLS",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: Server Name",
        description=(
            "The old name of the expected name in the mail server's certificate. Use Email TLS: "
            "Server Name instead."
        ),
        type=Text(),
        json_path="notifications.email.tls.server_name",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_SERVERNAME",
        flag="notifications-email-tls-server-name",
        yaml="serverName",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: Server Name",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: Skip Certificate Verification (Insecure)",
        description=(
            "The old name of the switch that accepts any certificate. Use Email TLS: Skip "
            "Certificate Verification (Insecure) instead."
        ),
        type=Bool(),
        json_path="notifications.email.tls.insecure_skip_verify",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_SKIPVERIFY",
        flag="notifications-email-tls-skip-verify",
        yaml="insecureSkipVerify",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: Skip Certificate Verification (Insecure)",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: Certificate Authority File",
        description=(
            "The old name of the file with certificate authorities. Use Email TLS: Certificate "
            "Authority File instead."
        ),
        type=Text(),
        json_path="notifications.email.tls.ca_file",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_CACERTFILE",
        flag="notifications-email-tls-ca-cert-file",
        yaml="caCertFile",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: Certificate Authority File",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: Certificate File",
        description=(
            "The old name of the certificate for the mail server. Use Email TLS: Certificate File "
            "instead."
        ),
        type=Text(),
        json_path="notifications.email.tls.cert_file",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_CERTFILE",
        flag="notifications-email-tls-cert-file",
        yaml="certFile",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: Certificate File",),
        obeyed=True,
    ),
    Option(
        name="Notifications: Email TLS: Certificate Key File",
        description=(
            "The old name of the key for the mail server. Use Email TLS: Certificate Key File "
            "instead."
        ),
        type=Text(),
        json_path="notifications.email.tls.key_file",
        env="CODER_NOTIFICATIONS_EMAIL_TLS_CERTKEYFILE",
        flag="notifications-email-tls-cert-key-file",
        yaml="certKeyFile",
        group=NOTIFICATIONS_EMAIL_EMAIL_TLS,
        use_instead=("Email TLS: Certificate Key File",),
        obeyed=True,
    ),
)
