"""A start: defaults of this machine, refusals, and settings that follow from several options.

Coder's server can do more than this service, which refuses the rest by name. The alternative would
be a server that is less safe, or less reachable, than its operator believes.
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
from options.values.rules import LISTENER, POSTGRES_URL

CODER_VERSION = "CODERAPI_CODER_VERSION"
LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DEFAULT_API_RATE_LIMIT = 512

# The HTTP server cannot leave a certificate unchecked, or check it only where there is one.
_SERVED_CLIENT_AUTH = ("none", "require-and-verify")
_SERVED_VERSIONS = ("tls12", "tls13")
_PROXY = "put a proxy that can do so in front, and switch TLS off here"
_LOG_OPTIONS = ("Human Log Location", "JSON Log Location", "Stackdriver Log Location")


def load_for_start(environ: Mapping[str, str], *, flags: Flags, development: bool) -> Configuration:
    """Returns the configuration of a server that starts now on this machine.

    Raises: ConfigurationError with everything that is wrong, or that cannot be obeyed.
    """
    found = load(environ, flags=flags, defaults=computed_defaults(environ, development=development))
    if refused := refusals(found):
        raise ConfigurationError(refused, warnings=found.warnings)
    return found


def computed_defaults(environ: Mapping[str, str], *, development: bool) -> dict[str, str]:
    """Returns the default texts, by JSON path, that depend on the machine or Coder's release."""
    above = environ.get("CACHE_DIRECTORY") or environ.get("XDG_CACHE_HOME")
    if not above:
        home = environ.get("HOME")
        above = str(Path(home) / ".cache") if home else tempfile.gettempdir()
    defaults = {"cache_directory": str(Path(above) / "coder")}
    version = environ.get(CODER_VERSION) or _default_of(CODER_VERSION)
    if version != "0.0.0":
        defaults["docs_url"] = f"https://coder.com/docs/@v{version}"
    if development:
        defaults["update_check"] = "false"
    return defaults


def _default_of(variable: str) -> str:
    """Returns the default text of one of our own settings."""
    return next(option.default for option in OWN_OPTIONS if option.env == variable)


def refusals(options: Configuration) -> list[OptionError]:
    """Returns a complaint for each value that cannot be obeyed."""
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
    if url and not POSTGRES_URL.is_met(url):
        accepted = POSTGRES_URL.accepted
        yield _error(
            options, "Postgres Connection URL", "is refused", accepted=accepted, shows=False
        )
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
        if is_on and not LISTENER.is_met(value):
            yield _error(options, name, "is no address to listen on", accepted=LISTENER.accepted)


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
    words = options["strict_transport_security_options"]
    if words and options["strict_transport_security"] <= 0:
        problem = "says nothing without a Strict-Transport-Security of more than 0 seconds"
        yield _error(options, "Strict-Transport-Security Options", problem)


def _email(options: Configuration) -> Iterator[OptionError]:
    smarthost = options["notifications.email.smarthost"]
    if smarthost and ":" in smarthost and not LISTENER.is_met(smarthost):
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


def allowed_hosts(chosen: list[str] | None, *, access_url: str, wildcard: str) -> list[str]:
    """Returns the host names to answer for: the chosen ones, else the access URL's and loopback."""
    if chosen:
        return [host.strip() for host in chosen]
    host = urlsplit(access_url).hostname
    if not host:
        return ["*"]
    apps = [wildcard[wildcard.index("*") + 1 :]] if wildcard.startswith("*.") else []
    return [host, *LOOPBACK_HOSTS, *apps]


def without_credentials(url: str) -> str:
    """Returns the web address without its user and password, since everybody may read it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if url else ""


def origins(url: str) -> list[str]:
    """Returns the origin of a web address, as browsers name it; none for other text."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return []
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"]


def strict_transport_security(seconds: int, options: Iterable[str]) -> str:
    """Returns the header's value; empty where it is not to be sent."""
    return "; ".join([f"max-age={seconds}", *options]) if seconds > 0 else ""


def api_rate_limit(configured: int, *, disabled: bool) -> int | None:
    """Returns requests a minute, or None for no limit. 0 means 512, a negative number none."""
    if disabled or configured < 0:
        return None
    return configured or DEFAULT_API_RATE_LIMIT
