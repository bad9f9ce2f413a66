"""Checks the values of options at the start, and rejects some of them.

A start fails if an option configures a feature of Coder's server that coderapi does not support.
If coderapi ignored such an option, the server could be less safe than its operator expects, or not
reachable as expected.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from options.configuration import Configuration
from options.errors import OptionError, presentable
from options.values.rules import LISTENER, POSTGRES_URL

# The HTTP server either requests no client certificate, or requires and verifies one.
_SERVED_CLIENT_AUTH = ("none", "require-and-verify")
_SERVED_VERSIONS = ("tls12", "tls13")
_PROXY = "use a proxy in front of coderapi for TLS, and disable TLS in coderapi"
_LOCATIONS = ("Human Log Location", "JSON Log Location", "Stackdriver Log Location")

# Django's backend for SMTP does not have these options.
_AUTHORITY = "set SSL_CERT_FILE to a file with the CA certificate of the mail server"
_RELAY = "use a mail server on this machine that forwards the messages"
_UNSUPPORTED_EMAIL = {
    "Email: Hello": "the server greets with its own host name",
    "Email Auth: Identity": "use an account of the sender",
    "Email TLS: Server Name": "set Email: Smarthost to the name in the certificate",
    "Email TLS: Skip Certificate Verification (Insecure)": _AUTHORITY,
    "Email TLS: Certificate Authority File": _AUTHORITY,
    "Email TLS: Certificate File": _RELAY,
    "Email TLS: Certificate Key File": _RELAY,
}

# The option's name, the problem, and the accepted values.
type _Problem = tuple[str, str, str]


def rejected_values(options: Configuration) -> list[OptionError]:
    """Returns an error for each value with which the server does not start."""
    tls = (_certificates, _tls) if options["tls.enable"] else ()
    checks = (_database, _listeners, *tls, _transport_security, _email, _logs, _coder)
    return [_error(options, *problem) for check in checks for problem in check(options)]


def _error(options: Configuration, name: str, problem: str, accepted: str) -> OptionError:
    option = options.option(name)
    value = options[option.json_path]
    place = options.places[option.json_path] or option.env
    source = options.sources[option.json_path]
    shown = presentable(option.type.format(value)) if value and not option.secret else ""
    return OptionError(problem, place, name, source, shown, accepted)


def _database(options: Configuration) -> Iterator[_Problem]:
    url = options["pg_connection_url"]
    if url and not POSTGRES_URL.is_met(url):
        yield "Postgres Connection URL", "is not accepted", POSTGRES_URL.accepted
    if options["pg_auth"].lower() != "password":
        problem = "is not supported: coderapi signs in with the URL's user and password"
        yield "Postgres Auth", problem, "password"
    limit, idle = options["pg_conn_max_open"], options["pg_conn_max_idle"]
    if idle != "auto" and int(idle) > limit > 0:
        problem = f"is more than the limit of {limit} open connections"
        yield "Postgres Connection Max Idle", problem, ""


def _listeners(options: Configuration) -> Iterator[_Problem]:
    address, tls = options["http_address"], options["tls.enable"]
    if not address and not tls:
        problem = "is empty and TLS is disabled, so the server would not listen on any address"
        yield "HTTP Address", problem, ""
    listeners = {
        "HTTP Address": bool(address),
        "TLS Address": tls,
        "Prometheus Address": options["prometheus.enable"],
    }
    for name, is_on in listeners.items():
        if is_on and not LISTENER.is_met(str(options.value(name))):
            yield name, "is not an address to listen on", LISTENER.accepted


def _tls(options: Configuration) -> Iterator[_Problem]:
    if options["tls.min_version"] not in _SERVED_VERSIONS:
        accepted = " or ".join(_SERVED_VERSIONS)
        yield "TLS Minimum Version", f"is not supported; {_PROXY}", accepted
    if options["tls.client_auth"] not in _SERVED_CLIENT_AUTH:
        yield "TLS Client Auth", f"is not supported; {_PROXY}", " or ".join(_SERVED_CLIENT_AUTH)
    elif options["tls.client_auth"] != "none" and not options["tls.client_ca_file"]:
        yield "TLS Client CA Files", "is required to verify client certificates", ""
    for name in ("TLS Ciphers", "TLS Allow Insecure Ciphers"):
        if options.value(name):
            yield name, f"is not supported; {_PROXY}", ""


def _certificates(options: Configuration) -> Iterator[_Problem]:
    for name in ("TLS Certificate Files", "TLS Key Files"):
        files = options.value(name) or []
        if not files:
            yield name, "is required for TLS", ""
        elif len(files) > 1:
            yield name, f"names more than one file, but only one is supported; {_PROXY}", ""


def _transport_security(options: Configuration) -> Iterator[_Problem]:
    words = options["strict_transport_security_options"]
    if words and options["strict_transport_security"] <= 0:
        problem = "needs a Strict-Transport-Security of more than 0 seconds"
        yield "Strict-Transport-Security Options", problem, ""


def _email(options: Configuration) -> Iterator[_Problem]:
    smarthost = options["notifications.email.smarthost"]
    if smarthost and ":" in smarthost and not LISTENER.is_met(smarthost):
        yield "Email: Smarthost", "is not an address", "host:port"
    if smarthost and not options["notifications.email.from"]:
        yield "Email: From Address", "is required with a mail server", ""
    for name, instead in _UNSUPPORTED_EMAIL.items() if smarthost else ():
        if options.value(name) not in {False, "", options.option(name).default}:
            yield name, f"is not supported; {instead}", ""
    file = options["notifications.email.auth.password_file"]
    if smarthost and file and not os.access(file, os.R_OK):
        yield "Email Auth: Password File", "cannot be read", ""


def _coder(options: Configuration) -> Iterator[_Problem]:
    policy = "CODERAPI_CODER_TOKEN_POLICY"
    url = urlsplit(str(options["CODERAPI_CODER_URL"]))
    if url.path.strip("/") or url.query or url.fragment:
        yield "CODERAPI_CODER_URL", "has more than a host and a port", "http://127.0.0.1:3000"
    for name in ("CODERAPI_USER_SOURCE", "CODERAPI_CONFIG_SOURCE", "CODERAPI_CODER_TOKEN", policy):
        if options[name] not in {"own", "off", ""} and not url.netloc:
            yield name, "needs CODERAPI_CODER_URL, which is not set", ""
    needs_token = options["CODERAPI_CONFIG_SOURCE"] == "coder" != options["CODERAPI_USER_SOURCE"]
    if needs_token and not options["CODERAPI_CODER_TOKEN"]:
        yield (
            "CODERAPI_CONFIG_SOURCE",
            "needs CODERAPI_USER_SOURCE=coder or CODERAPI_CODER_TOKEN",
            "",
        )
    if options[policy] != "off" and not options["CODERAPI_CODER_TOKEN"]:
        yield policy, "needs CODERAPI_CODER_TOKEN, which is not set", ""


def _logs(options: Configuration) -> Iterator[_Problem]:
    for name in (*_LOCATIONS, "CODERAPI_ACCESS_LOG_PATH"):
        text = options.value(name)
        if not text or text.startswith("/dev/"):
            continue
        path = Path(text)
        is_fit = path.is_file() if path.exists() else path.parent.is_dir()
        if not is_fit or not os.access(path if path.exists() else path.parent, os.W_OK):
            yield name, "is not writable for this user", ""
