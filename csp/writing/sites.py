"""Knows the sites of the pages that report: the access URL, and the origins of ingest keys.

Anyone can invent the page of a report, so an origin that no key and no setting names is not a site.
The pages of all such origins belong to the site `other`. The origins of a retired key stay sites.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

from django.conf import settings

from csp.access.keys import TOPIC
from csp.access.origins import MAX_ORIGIN, OPAQUE
from csp.models import IngestKey
from csp.scrubbing.address import OTHER_SITE, address_of
from csp.writing.entries import Sites
from kernel.memory import CachedValue, Memory

# The key is the access URL. If this process receives no notifications, it uses the cached sites for
# at most five seconds.
SITES: Memory[str, Sites] = Memory("sites", capacity=1, topics=(TOPIC,), max_age_disconnected=5.0)


def are_sites_in_memory() -> bool:
    """Returns whether `known_sites` needs no query."""
    return SITES.get(settings.ACCESS_URL) is not None


def known_sites() -> Sites:
    """Returns the origins of all sites, without private data. Raises: DatabaseError."""
    url = settings.ACCESS_URL
    return SITES.load(url, lambda: _read(url))


def sites_for(key: IngestKey | None, origin: str) -> Sites:
    """Returns the sites for which a request may report. Raises: DatabaseError.

    With an ingest key, these are the origins of the key, because everyone can read the keys of
    public pages. If the request has an Origin header, a page of another origin did not send it. The
    origin `null` names no page.
    """
    own = None if key is None else tuple(key.origins)
    return _narrowed(known_sites(), own, "" if origin == OPAQUE else origin[:MAX_ORIGIN])


@lru_cache(maxsize=256)
def _narrowed(sites: Sites, own: tuple[str, ...] | None, origin: str) -> Sites:
    if own is not None:
        sites &= sites_of(own)
    return sites & sites_of([origin]) if origin else sites


def _read(url: str) -> CachedValue[Sites]:
    origins = chain([url], *IngestKey.objects.values_list("origins", flat=True))
    return CachedValue(sites_of(origins))


def sites_of(urls: Iterable[str]) -> Sites:
    """Returns the origins of these URLs, without private data."""
    return frozenset(address_of(url).origin for url in urls) - {""}


def coder_sites() -> Sites:
    """Returns the sites whose pages have the version of Coder, unless they report another one.

    They are the access URL, the Coder deployment, and `other`, because Coder does not need a key.
    """
    return _of_coder(settings.ACCESS_URL, settings.CODER_URL)


@lru_cache(maxsize=4)
def _of_coder(*urls: str) -> Sites:
    return sites_of(urls) | {OTHER_SITE}
