"""What Coder's server can do when told so and this service cannot: refused at the start, by name.

The alternative would be a server that is less safe, or less reachable, than its operator believes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from options.configuration import Configuration
from options.errors import OptionError, presentable
from options.values import ValueRefusedError
from options.values.addresses import split_host_port

# A certificate that is checked against nothing, or only if it is there, is not to be had here.
_SERVED_CLIENT_AUTH = ("none", "require-and-verify")
_SERVED_VERSIONS = ("tls12", "tls13")
_PROXY = "put a proxy that can do so in front, and switch TLS off here"
_ADDRESS = "host:port with a number for the port, such as 127.0.0.1:3000"
_HSTS_OPTIONS = ("includesubdomains", "preload")
_LOG_OPTIONS = ("Human Log Location", "JSON Log Location", "Stackdriver Log Location")


def refusals(options: Configuration) -> list[OptionError]:
    """A complaint for each value that cannot be obeyed."""
    return [
        *_database(options),
        *_listeners(options),
        *(_tls(options) if options["tls.enable"] else ()),
        *_transport_security(options),
        *_email(options),
        *_logs(options),
    ]


def _error(
    options: Configuration, name: str, problem: str, *, accepted: str = "", shows: bool = True
) -> OptionError:
    option = options.option(name)
    value = options[option.json_path]
    return OptionError(
        problem,
        options.places[option.json_path] or option.env,
        option=name,
        source=options.sources[option.json_path],
        shown=presentable(option.type.format(value)) if shows and value else "",
        accepted=accepted,
    )


def _database(options: Configuration) -> Iterator[OptionError]:
    url = options["pg_connection_url"]
    if url and not url.startswith(("postgres://", "postgresql://")):
        problem = "is no URL; accepted: postgresql://user:password@host:5432/database"
        yield _error(options, "Postgres Connection URL", problem, shows=False)
    if options["pg_auth"].lower() != "password":
        problem = "cannot be served: this service signs in to PostgreSQL with what the URL says"
        yield _error(options, "Postgres Auth", problem, accepted="password")
    most, idle = options["pg_conn_max_open"], options["pg_conn_max_idle"]
    if idle != "auto" and int(idle) > most > 0:
        problem = f"is more than the {most} connections that may be open"
        yield _error(options, "Postgres Connection Max Idle", problem)


def _listeners(options: Configuration) -> Iterator[OptionError]:
    address, tls = options["http_address"], options["tls.enable"]
    if not address and not tls:
        problem = "is empty and TLS is off, so nothing would be listened on"
        yield _error(options, "HTTP Address", problem)
    listeners = {
        "HTTP Address": bool(address),
        "TLS Address": tls,
        "Prometheus Address": options["prometheus.enable"],
    }
    for name, is_on in listeners.items():
        value = str(options[options.option(name).json_path])
        if is_on and not _is_address(value):
            yield _error(options, name, "is no address to listen on", accepted=_ADDRESS)


def _is_address(text: str) -> bool:
    try:
        port = split_host_port(text).port
    except ValueRefusedError:
        return False
    return port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 1 << 16


def _tls(options: Configuration) -> Iterator[OptionError]:
    yield from _certificates(options)
    if options["tls.min_version"] not in _SERVED_VERSIONS:
        yield _error(
            options,
            "TLS Minimum Version",
            f"is too old to be served; {_PROXY}",
            accepted=" or ".join(_SERVED_VERSIONS),
        )
    if options["tls.client_auth"] not in _SERVED_CLIENT_AUTH:
        accepted = " or ".join(_SERVED_CLIENT_AUTH)
        yield _error(options, "TLS Client Auth", f"cannot be served; {_PROXY}", accepted=accepted)
    elif options["tls.client_auth"] != "none" and not options["tls.client_ca_file"]:
        problem = "is needed, since clients must show a certificate"
        yield _error(options, "TLS Client CA Files", problem)
    for name, path in (
        ("TLS Ciphers", "tls.supported_ciphers"),
        ("TLS Allow Insecure Ciphers", "tls.allow_insecure_ciphers"),
    ):
        if options[path]:
            yield _error(options, name, f"cannot be served; {_PROXY}", shows=False)


def _certificates(options: Configuration) -> Iterator[OptionError]:
    for name, path in (
        ("TLS Certificate Files", "tls.cert_file"),
        ("TLS Key Files", "tls.key_file"),
    ):
        files = options[path] or []
        if not files:
            yield _error(options, name, "is needed while TLS is on")
        elif len(files) > 1:
            problem = f"names {len(files)} files, and one can be served; {_PROXY}"
            yield _error(options, name, problem, shows=False)


def _transport_security(options: Configuration) -> Iterator[OptionError]:
    name = "Strict-Transport-Security Options"
    words = options["strict_transport_security_options"] or []
    if any(word.lower() not in _HSTS_OPTIONS for word in words):
        yield _error(options, name, "is refused", accepted="includeSubDomains and preload")
    elif words and options["strict_transport_security"] <= 0:
        problem = "says nothing without a Strict-Transport-Security of more than 0 seconds"
        yield _error(options, name, problem)


def _email(options: Configuration) -> Iterator[OptionError]:
    smarthost = options["notifications.email.smarthost"]
    if smarthost and ":" in smarthost and not _is_address(smarthost):
        yield _error(options, "Email: Smarthost", "is no address", accepted="host:port")
    if smarthost and not options["notifications.email.from"]:
        problem = "is needed, since a mail server is named"
        yield _error(options, "Email: From Address", problem)


def _logs(options: Configuration) -> Iterator[OptionError]:
    for name in _LOG_OPTIONS:
        path = options[options.option(name).json_path]
        if path and not path.startswith("/dev/") and not _is_writable(Path(path)):
            yield _error(options, name, "cannot be written by this user")


def _is_writable(path: Path) -> bool:
    if path.exists():
        return path.is_file() and os.access(path, os.W_OK)
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)
