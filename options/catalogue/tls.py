"""HTTPS."""

from __future__ import annotations

from options.catalogue.groups import NETWORKING_TLS
from options.option import Option
from options.values import Address, Bool, Integer, Text, TextList
from options.values.rules import one_of

TLS_OPTIONS = (
    Option(
        name="TLS Address",
        description="The address and port for HTTPS. It counts only while TLS is enabled.",
        type=Address(),
        json_path="tls.address",
        env="CODER_TLS_ADDRESS",
        flag="tls-address",
        yaml="address",
        default="127.0.0.1:3443",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Enable",
        description=(
            "Serve HTTPS with the given certificate. Leave it off when a proxy in front of the "
            "server takes care of TLS."
        ),
        type=Bool(),
        json_path="tls.enable",
        env="CODER_TLS_ENABLE",
        flag="tls-enable",
        yaml="enable",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Redirect HTTP to HTTPS",
        description=(
            "The old switch that sends plain HTTP requests on to HTTPS. Use the redirect to the "
            "access URL instead."
        ),
        type=Bool(),
        json_path="tls.redirect_http",
        env="CODER_TLS_REDIRECT_HTTP_TO_HTTPS",
        flag="tls-redirect-http-to-https",
        yaml="redirectHTTP",
        default="true",
        group=NETWORKING_TLS,
        hidden=True,
        external_workspace_proxies=True,
        use_instead=("Redirect to Access URL",),
        obeyed=True,
    ),
    Option(
        name="TLS Certificate Files",
        description=(
            "The files that hold the certificate with its intermediate ones, in PEM format. "
            "Required once TLS is enabled, together with a key file for each."
        ),
        type=TextList(),
        json_path="tls.cert_file",
        env="CODER_TLS_CERT_FILE",
        flag="tls-cert-file",
        yaml="certFiles",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Client CA Files",
        description=(
            "A file with the certificate authorities that client certificates are checked against, "
            "in PEM format. Needed only when clients must prove who they are."
        ),
        type=Text(),
        json_path="tls.client_ca_file",
        env="CODER_TLS_CLIENT_CA_FILE",
        flag="tls-client-ca-file",
        yaml="clientCAFile",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Client Auth",
        description=(
            "Whether clients must show a certificate: none, request, require-any, verify-if-given "
            "or require-and-verify. Only none and require-and-verify can be served here; for the "
            "others put a proxy in front."
        ),
        type=Text(
            one_of("none", "request", "require-any", "verify-if-given", "require-and-verify")
        ),
        json_path="tls.client_auth",
        env="CODER_TLS_CLIENT_AUTH",
        flag="tls-client-auth",
        yaml="clientAuth",
        default="none",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Key Files",
        description=(
            "The files with the private keys that belong to the certificates, in PEM format and "
            "the same order."
        ),
        type=TextList(),
        json_path="tls.key_file",
        env="CODER_TLS_KEY_FILE",
        flag="tls-key-file",
        yaml="keyFiles",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Minimum Version",
        description=(
            "The oldest TLS version that clients may speak: tls10, tls11, tls12 or tls13. The two "
            "oldest are insecure and cannot be served here."
        ),
        type=Text(one_of("tls10", "tls11", "tls12", "tls13")),
        json_path="tls.min_version",
        env="CODER_TLS_MIN_VERSION",
        flag="tls-min-version",
        yaml="minVersion",
        default="tls12",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="TLS Client Cert File",
        description=(
            "The certificate that Coder's own outgoing HTTPS requests present. Needed where its "
            "peers ask for client certificates."
        ),
        type=Text(),
        json_path="tls.client_cert_file",
        env="CODER_TLS_CLIENT_CERT_FILE",
        flag="tls-client-cert-file",
        yaml="clientCertFile",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
    ),
    Option(
        name="TLS Client Key File",
        description="The private key that belongs to the certificate for outgoing HTTPS requests.",
        type=Text(),
        json_path="tls.client_key_file",
        env="CODER_TLS_CLIENT_KEY_FILE",
        flag="tls-client-key-file",
        yaml="clientKeyFile",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
    ),
    Option(
        name="TLS Ciphers",
        description=(
            "The cipher suites that may be used with TLS 1.2 and older. Leave it empty unless a "
            "policy prescribes a list."
        ),
        type=TextList(),
        json_path="tls.supported_ciphers",
        env="CODER_TLS_CIPHERS",
        flag="tls-ciphers",
        yaml="tlsCiphers",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        remark=(
            "The HTTP server of this service has no cipher list, so a list stops the start; put a "
            "proxy in front."
        ),
    ),
    Option(
        name="TLS Allow Insecure Ciphers",
        description=(
            "Let the list of cipher suites contain ones that are known to be weak. Only for "
            "clients that cannot be replaced."
        ),
        type=Bool(),
        json_path="tls.allow_insecure_ciphers",
        env="CODER_TLS_ALLOW_INSECURE_CIPHERS",
        flag="tls-allow-insecure-ciphers",
        yaml="tlsAllowInsecureCiphers",
        default="false",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        remark=(
            "The HTTP server of this service has no cipher list, so this stops the start when it "
            "is on; put a proxy in front."
        ),
    ),
    Option(
        name="Strict-Transport-Security",
        description=(
            "For how many seconds browsers remember to use HTTPS only; 0 sends no such header. "
            "Raise it step by step, since browsers do not forget earlier."
        ),
        type=Integer(),
        json_path="strict_transport_security",
        env="CODER_STRICT_TRANSPORT_SECURITY",
        flag="strict-transport-security",
        yaml="strictTransportSecurity",
        default="0",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Strict-Transport-Security Options",
        description=(
            "Additions to the header that makes browsers use HTTPS only: includeSubDomains, "
            "preload. They count only with a time above 0."
        ),
        type=TextList(one_of("includeSubDomains", "preload")),
        json_path="strict_transport_security_options",
        env="CODER_STRICT_TRANSPORT_SECURITY_OPTIONS",
        flag="strict-transport-security-options",
        yaml="strictTransportSecurityOptions",
        group=NETWORKING_TLS,
        external_workspace_proxies=True,
        obeyed=True,
    ),
)
