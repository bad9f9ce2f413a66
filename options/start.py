"""Loads the configuration at the start, and derives Django's settings from it.

A start fails if an option configures a feature of Coder's server that coderapi does not support.
If coderapi ignored such an option, the server could be less safe than its operator expects, or not
reachable as expected.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from options.catalogue import OWN_OPTIONS
from options.configuration import Configuration, ConfigurationError, Flags, load
from options.errors import OptionError, presentable
from options.option import by_env
from options.values.rules import LISTENER, POSTGRES_URL

CODER_VERSION = "CODERAPI_CODER_VERSION"
LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DEFAULT_API_RATE_LIMIT = 512

# The HTTP server either requests no client certificate, or requires and verifies one.
_SERVED_CLIENT_AUTH = ("none", "require-and-verify")
_SERVED_VERSIONS = ("tls12", "tls13")
_PROXY = "use a proxy in front of coderapi for TLS, and disable TLS in coderapi"
_LOCATIONS = ("Human Log Location", "JSON Log Location", "Stackdriver Log Location")

# The option's name, the problem, and the accepted values.
type _Problem = tuple[str, str, str]


def load_for_start(environ: Mapping[str, str], *, flags: Flags) -> Configuration:
    """Returns the configuration for a server on this machine.

    Raises: ConfigurationError. It lists the mistakes of all sources. Without mistakes, it lists all
    unsupported values.
    """
    options = load(environ, flags=flags, defaults=computed_defaults(environ))
    if errors := unsupported_values(options):
        raise ConfigurationError(errors, warnings=options.warnings)
    return options


def computed_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the defaults that depend on the machine or Coder's release, by JSON path."""
    above = environ.get("CACHE_DIRECTORY") or environ.get("XDG_CACHE_HOME")
    if not above:
        home = environ.get("HOME")
        above = str(Path(home) / ".cache") if home else tempfile.gettempdir()
    defaults = {"cache_directory": str(Path(above) / "coder")}
    version = environ.get(CODER_VERSION) or by_env(OWN_OPTIONS)[CODER_VERSION].default
    if version != "0.0.0":
        defaults["docs_url"] = f"https://coder.com/docs/@v{version}"
    if version == "0.0.0" or "-devel" in version:
        defaults["update_check"] = "false"
    return defaults


def unsupported_values(options: Configuration) -> list[OptionError]:
    """Returns an error for each value that coderapi does not support."""
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
            yield name, f"names {len(files)} files, but only one is supported; {_PROXY}", ""


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


def _coder(options: Configuration) -> Iterator[_Problem]:
    policy = "CODERAPI_CODER_TOKEN_POLICY"
    url = urlsplit(str(options["CODERAPI_CODER_URL"]))
    if url.path.strip("/") or url.query or url.fragment:
        yield "CODERAPI_CODER_URL", "has more than a host and a port", "http://127.0.0.1:3000"
    for name in ("CODERAPI_IDENTITY", "CODERAPI_CONFIG_SOURCE", "CODERAPI_CODER_TOKEN", policy):
        if options[name] not in {"own", "off", ""} and not url.netloc:
            yield name, "needs CODERAPI_CODER_URL, which is not set", ""
    needs_token = options["CODERAPI_CONFIG_SOURCE"] == "coder" != options["CODERAPI_IDENTITY"]
    if needs_token and not options["CODERAPI_CODER_TOKEN"]:
        yield "CODERAPI_CONFIG_SOURCE", "needs CODERAPI_IDENTITY=coder or CODERAPI_CODER_TOKEN", ""
    if options[policy] != "off" and not options["CODERAPI_CODER_TOKEN"]:
        yield policy, "needs CODERAPI_CODER_TOKEN, which is not set", ""


def _logs(options: Configuration) -> Iterator[_Problem]:
    for name in (*_LOCATIONS, "CODERAPI_ACCESS_LOG"):
        path = options.value(name)
        if path and not path.startswith("/dev/") and not _is_writable(Path(path)):
            yield name, "is not writable for this user", ""


def _is_writable(path: Path) -> bool:
    if path.exists():
        return path.is_file() and os.access(path, os.W_OK)
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)


def allowed_hosts(chosen: list[str] | None, *, access_url: str, wildcard: str) -> list[str]:
    """Returns the value of ALLOWED_HOSTS.

    If no hosts are configured, the list contains the host of the access URL, the loopback hosts and
    the hosts of the wildcard access URL. Without an access URL, every host is allowed.
    """
    if chosen:
        return [host.strip() for host in chosen]
    host = urlsplit(access_url).hostname
    if not host:
        return ["*"]
    apps = [wildcard[wildcard.index("*") + 1 :]] if wildcard.startswith("*.") else []
    return [host, *LOOPBACK_HOSTS, *apps]


def without_credentials(url: str) -> str:
    """Returns the URL without its username and password, so that it can be shown to everyone."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if url else ""


def origins(url: str) -> list[str]:
    """Returns a list with the origin of an HTTP URL, as browsers send it, or [] for other input."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return []
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"]


def strict_transport_security(seconds: int, options: Iterable[str]) -> str:
    """Returns the value of the Strict-Transport-Security header, or "" to send no header."""
    return "; ".join([f"max-age={seconds}", *options]) if seconds > 0 else ""


def api_rate_limit(configured: int, *, disabled: bool) -> int | None:
    """Returns the allowed requests per minute, or None for no limit.

    As in Coder, 0 means 512, and a negative number means no limit.
    """
    if disabled or configured < 0:
        return None
    return configured or DEFAULT_API_RATE_LIMIT
