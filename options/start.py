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
from options.option import by_env
from options.values.rules import LISTENER, POSTGRES_URL

CODER_VERSION = "CODERAPI_CODER_VERSION"
LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DEFAULT_API_RATE_LIMIT = 512

# The HTTP server cannot leave a certificate unchecked, or check it only where there is one.
_SERVED_CLIENT_AUTH = ("none", "require-and-verify")
_SERVED_VERSIONS = ("tls12", "tls13")
_PROXY = "put a proxy that can do so in front, and switch TLS off here"
_LOG_OPTIONS = (
    *("Human Log Location", "JSON Log Location", "Stackdriver Log Location"),
    "CODERAPI_ACCESS_LOG",
)

# The option's name, the problem, and what is accepted instead.
type _Complaint = tuple[str, str, str]


def load_for_start(environ: Mapping[str, str], *, flags: Flags) -> Configuration:
    """Returns the configuration of a server that starts now on this machine.

    Raises: ConfigurationError with everything that is wrong, or that cannot be obeyed.
    """
    found = load(environ, flags=flags, defaults=computed_defaults(environ))
    if refused := refusals(found):
        raise ConfigurationError(refused, warnings=found.warnings)
    return found


def computed_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the default texts, by JSON path, that depend on the machine or Coder's release."""
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


def refusals(options: Configuration) -> list[OptionError]:
    """Returns a complaint for each value that cannot be obeyed."""
    tls = (_certificates, _tls) if options["tls.enable"] else ()
    checks = (_database, _listeners, *tls, _transport_security, _email, _logs)
    return [_error(options, *complaint) for check in checks for complaint in check(options)]


def _error(options: Configuration, name: str, problem: str, accepted: str) -> OptionError:
    option = options.option(name)
    value = options[option.json_path]
    place = options.places[option.json_path] or option.env
    source = options.sources[option.json_path]
    shown = presentable(option.type.format(value)) if value and not option.secret else ""
    return OptionError(problem, place, name, source, shown, accepted)


def _database(options: Configuration) -> Iterator[_Complaint]:
    url = options["pg_connection_url"]
    if url and not POSTGRES_URL.is_met(url):
        yield "Postgres Connection URL", "is refused", POSTGRES_URL.accepted
    if options["pg_auth"].lower() != "password":
        problem = "cannot be served: this service signs in to PostgreSQL with what the URL says"
        yield "Postgres Auth", problem, "password"
    most, idle = options["pg_conn_max_open"], options["pg_conn_max_idle"]
    if idle != "auto" and int(idle) > most > 0:
        problem = f"is more than the {most} connections that may be open"
        yield "Postgres Connection Max Idle", problem, ""


def _listeners(options: Configuration) -> Iterator[_Complaint]:
    address, tls = options["http_address"], options["tls.enable"]
    if not address and not tls:
        yield "HTTP Address", "is empty and TLS is off, so nothing would be listened on", ""
    listeners = {
        "HTTP Address": bool(address),
        "TLS Address": tls,
        "Prometheus Address": options["prometheus.enable"],
    }
    for name, is_on in listeners.items():
        if is_on and not LISTENER.is_met(str(options.value(name))):
            yield name, "is no address to listen on", LISTENER.accepted


def _tls(options: Configuration) -> Iterator[_Complaint]:
    if options["tls.min_version"] not in _SERVED_VERSIONS:
        accepted = " or ".join(_SERVED_VERSIONS)
        yield "TLS Minimum Version", f"is too old to be served; {_PROXY}", accepted
    if options["tls.client_auth"] not in _SERVED_CLIENT_AUTH:
        yield "TLS Client Auth", f"cannot be served; {_PROXY}", " or ".join(_SERVED_CLIENT_AUTH)
    elif options["tls.client_auth"] != "none" and not options["tls.client_ca_file"]:
        yield "TLS Client CA Files", "is needed, since clients must show a certificate", ""
    for name in ("TLS Ciphers", "TLS Allow Insecure Ciphers"):
        if options.value(name):
            yield name, f"cannot be served; {_PROXY}", ""


def _certificates(options: Configuration) -> Iterator[_Complaint]:
    for name in ("TLS Certificate Files", "TLS Key Files"):
        files = options.value(name) or []
        if not files:
            yield name, "is needed while TLS is on", ""
        elif len(files) > 1:
            yield name, f"names {len(files)} files, and one can be served; {_PROXY}", ""


def _transport_security(options: Configuration) -> Iterator[_Complaint]:
    words = options["strict_transport_security_options"]
    if words and options["strict_transport_security"] <= 0:
        problem = "says nothing without a Strict-Transport-Security of more than 0 seconds"
        yield "Strict-Transport-Security Options", problem, ""


def _email(options: Configuration) -> Iterator[_Complaint]:
    smarthost = options["notifications.email.smarthost"]
    if smarthost and ":" in smarthost and not LISTENER.is_met(smarthost):
        yield "Email: Smarthost", "is no address", "host:port"
    if smarthost and not options["notifications.email.from"]:
        yield "Email: From Address", "is needed, since a mail server is named", ""


def _logs(options: Configuration) -> Iterator[_Complaint]:
    for name in _LOG_OPTIONS:
        path = options.value(name)
        if path and not path.startswith("/dev/") and not _is_writable(Path(path)):
            yield name, "cannot be written by this user", ""


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
