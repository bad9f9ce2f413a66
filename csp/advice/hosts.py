"""Finds hosts that serve files of many owners, such as public CDNs.

The sources are the lists in this module, the private part of the Public Suffix List (the package
`publicsuffixlist`), and `bypass_hosts.txt`. The lists are from November 2026.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from pathlib import Path

from publicsuffixlist import PublicSuffixList

# Anyone can publish files on these hosts, so a source that allows the host allows everyone's files.
_SHARED = frozenset(
    {
        *("ajax.googleapis.com", "bitbucket.org", "cdn.jsdelivr.net", "cdn.skypack.dev"),
        *("cdnjs.cloudflare.com", "dl.dropboxusercontent.com", "esm.run", "esm.sh"),
        *("fastly.jsdelivr.net", "ga.jspm.io", "gist.githubusercontent.com", "gitlab.com"),
        *("jspm.dev", "objects.githubusercontent.com", "raw.githubusercontent.com"),
        *("rawcdn.githack.com", "unpkg.com"),
    }
)
# The domains of object stores. A host below one is a bucket. The domain itself serves all buckets:
# the path contains the name of the bucket, and a browser ignores the path after a redirect.
_OBJECT_STORES = re.compile(
    r"(?P<bucket>.+\.)??(?:s3[a-z0-9.-]*\.amazonaws\.com|storage\.googleapis\.com"
    r"|blob\.core\.windows\.net|[a-z0-9]+\.digitaloceanspaces\.com|r2\.dev"
    r"|r2\.cloudflarestorage\.com|s3\.[a-z0-9-]+\.backblazeb2\.com"
    r"|s3(?:\.[a-z0-9-]+)?\.wasabisys\.com|[a-z0-9-]+\.linodeobjects\.com)"
)
# On these domains, too, each customer gets a name of its own.
_CUSTOMER_DOMAINS = (".b-cdn.net", ".amazonaws.com")
# The Public Suffix List has these names, but all hosts below them belong to one company.
_ONE_OWNER = frozenset({"googleapis.com"})


class HostKind(StrEnum):
    SHARED = "shared"
    BUCKET = "bucket"
    CUSTOMER = "customer"
    OTHER = "other"


def kind_of(host: str) -> HostKind:
    """Returns the kind of a host: it shows who can publish files there.

    `SHARED`: anyone can publish files on the host. `BUCKET`: the host is one bucket of an object
    store. `CUSTOMER`: the host belongs to one customer of a hosting service.
    """
    if store := _OBJECT_STORES.fullmatch(host):
        return HostKind.BUCKET if store["bucket"] else HostKind.SHARED
    if host in _SHARED:
        return HostKind.SHARED
    if host.endswith(_CUSTOMER_DOMAINS) or _has_private_suffix(host):
        return HostKind.CUSTOMER
    return HostKind.OTHER


def is_open_to_all(domain: str) -> bool:
    """Returns whether anyone can get a host below the domain, such as `github.io` or `com`."""
    is_suffix = _suffixes(only_icann=False).publicsuffix(domain) == domain
    return (is_suffix and domain not in _ONE_OWNER) or f".{domain}" in _CUSTOMER_DOMAINS


def is_bypass(host: str) -> bool:
    """Returns whether injected markup can run code with scripts of this host."""
    return host in _bypass_hosts()


@cache
def _bypass_hosts() -> frozenset[str]:
    lines = (Path(__file__).parent / "bypass_hosts.txt").read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


@cache
def _suffixes(*, only_icann: bool) -> PublicSuffixList:
    return PublicSuffixList(only_icann=only_icann, accept_unknown=False)


def _has_private_suffix(host: str) -> bool:
    """Returns whether the suffix of the host belongs to a company that gives names to customers."""
    private = _suffixes(only_icann=False).publicsuffix(host)
    public = _suffixes(only_icann=True).publicsuffix(host)
    return private != public and private not in _ONE_OWNER
