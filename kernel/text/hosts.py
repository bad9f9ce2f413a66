"""Converts host names and e-mail addresses to ASCII, as browsers do (UTS 46, IDNA 2008).

Python's "idna" codec, which Django uses for mail, implements the standard of 2003. It converts
`faß.de` to `fass.de`, which is the domain of another person.
"""

from __future__ import annotations

from contextlib import suppress

from idna import alabel, uts46_remap


def ascii_host(host: str) -> str:
    """Returns the host name in ASCII. Raises: ValueError.

    A label that is ASCII already is not checked, because browsers accept an underscore.
    """
    labels = uts46_remap(host, std3_rules=False).split(".")
    return ".".join(x if x.isascii() else alabel(x).decode() for x in labels)


def ascii_address(address: str) -> str:
    """Returns the e-mail address with its host in ASCII, or unchanged if the host is not valid."""
    local, at, host = address.rpartition("@")
    with suppress(ValueError):
        host = ascii_host(host)
    return f"{local}{at}{host}"
