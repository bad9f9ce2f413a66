"""What a start changes about values that were set, so that clients see what is in force."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from options.values import Bool, HostPort, ValueRefusedError

_REDIRECT_FLAG = "tls-redirect-http-to-https"
_REDIRECT_VARIABLES = ("CODER_TLS_REDIRECT_HTTP", "CODER_TLS_REDIRECT_HTTP_TO_HTTPS")


def computed_defaults(
    environ: Mapping[str, str], *, coder_version: str, development: bool
) -> dict[str, str]:
    """The default texts, by JSON path, that depend on the machine and on the Coder release."""
    above = environ.get("CACHE_DIRECTORY") or environ.get("XDG_CACHE_HOME")
    if not above:
        home = environ.get("HOME")
        above = str(Path(home) / ".cache") if home else tempfile.gettempdir()
    defaults = {"cache_directory": str(Path(above) / "coder")}
    if coder_version and coder_version != "0.0.0":
        defaults["docs_url"] = f"https://coder.com/docs/@v{coder_version}"
    if development:
        defaults["update_check"] = "false"
    return defaults


def change_at_start(
    values: dict[str, Any], *, flags: Mapping[str, object], variables: Mapping[str, str]
) -> None:
    """Changes the values in place."""
    if values.get("address"):
        _spread_address(values)
    if values.get("rate_limit.disable_all"):
        values["rate_limit.api"] = -1
    if values.get("tls.enable") and _asks_for_redirect(flags, variables):
        values["redirect_to_access_url"] = values["tls.redirect_http"]


def _spread_address(values: dict[str, Any]) -> None:
    """The one old address stands for the listener that is in use, and switches the other off."""
    if values["tls.enable"]:
        values["tls.address"], values["http_address"] = values["address"], ""
    else:
        values["http_address"], values["tls.address"] = str(values["address"]), HostPort()


def _asks_for_redirect(flags: Mapping[str, object], variables: Mapping[str, str]) -> bool:
    return _REDIRECT_FLAG in flags or any(
        _is_true(variables.get(name, "")) for name in _REDIRECT_VARIABLES
    )


def _is_true(text: str) -> bool:
    try:
        return Bool().parse(text)
    except ValueRefusedError:
        return False
