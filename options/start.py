"""Loads the configuration at the start, and derives Django's settings from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kernel.coder.releases import is_from_source
from options.catalogue import OWN_OPTIONS
from options.configuration import Configuration, ConfigurationError, Flags, load
from options.option import by_env
from options.rejections import rejected_values

CODER_VERSION = "CODERAPI_CODER_VERSION"
# The JSON paths of options whose default depends on the machine or on Coder's release.
COMPUTED_DEFAULTS = frozenset({"cache_directory", "docs_url", "update_check"})
LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
DEFAULT_API_RATE_LIMIT = 512


def load_for_start(environ: Mapping[str, str], *, flags: Flags) -> Configuration:
    """Returns the configuration for a server on this machine.

    Raises: ConfigurationError. It lists the mistakes of all sources. If there are none, it lists
    all values that prevent a start.
    """
    options = load(environ, flags=flags, defaults=computed_defaults(environ))
    if errors := rejected_values(options):
        raise ConfigurationError(errors, warnings=options.warnings)
    return options


def computed_defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the defaults that depend on the machine or Coder's release, by JSON path."""
    above = environ.get("CACHE_DIRECTORY") or environ.get("XDG_CACHE_HOME")
    if not above:
        home = environ.get("HOME")
        above = str(Path(home) / ".cache") if home else tempfile.gettempdir()
    defaults = {"cache_directory": str(Path(above) / "coder")}
    version = coder_version(environ)
    if is_from_source(version):
        defaults["update_check"] = "false"
    else:
        defaults["docs_url"] = f"https://coder.com/docs/@v{version}"
    return defaults


def coder_version(environ: Mapping[str, str]) -> str:
    """Returns the release of Coder that the service reports. It may be no valid version."""
    return environ.get(CODER_VERSION) or by_env(OWN_OPTIONS)[CODER_VERSION].default


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
