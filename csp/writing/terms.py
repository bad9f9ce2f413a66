"""What preparing a report needs from the database: noise rules, sites, and a key for hashes.

The sites are the access URL, and the origins of ingest keys. Anyone can invent the page of a
report, so an origin that no key and no setting names is not a site. The pages of all such origins
belong to the site `other`. The origins of a retired key stay sites.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import date
from functools import lru_cache, partial
from typing import NamedTuple

from csp.access.keys import TOPIC
from csp.access.origins import MAX_ORIGIN, OPAQUE
from csp.models import ClientKey, IngestKey
from csp.noise.rules import Rules, compiled
from csp.noise.stored import RULE_TOPIC, enabled_rules
from csp.scrubbing.address import OTHER_SITE, address_of
from kernel.coder.running import running
from kernel.http.asking import Asking, from_cache
from kernel.memory import CachedValue, Memory
from kernel.settings import settings

KEY_BYTES = 32

# The origins of the known sites, without private data.
type Sites = frozenset[str]


class Terms(NamedTuple):
    """The enabled noise rules, the sites, and the key for the hashes of the clients of a day."""

    rules: Rules
    sites: Sites
    client_key: bytes


# By day (UTC) and access URL. Two are cached, because reports of two days arrive around midnight.
# If this process receives no notifications, it uses cached terms for at most five seconds.
TERMS: Memory[tuple[date, str], Terms] = Memory(
    "terms of CSP reports", capacity=2, topics=(RULE_TOPIC, TOPIC), max_age_disconnected=5.0
)


def find_terms(day: date) -> Asking[Terms]:
    """Returns the terms of a day. Raises: DatabaseError."""
    return from_cache(TERMS, (day, settings.ACCESS_URL), partial(terms_of, day))


def terms_of(day: date) -> Terms:
    """Returns the terms of a day. Raises: DatabaseError."""
    return TERMS.load((day, settings.ACCESS_URL), lambda: CachedValue(_read(day)))


def _read(day: date) -> Terms:
    # Beside Coder, the first call waits.
    running()
    urls = [settings.ACCESS_URL]
    for origins in IngestKey.objects.values_list("origins", flat=True):
        urls += origins
    # All processes use the same key on a day. It is deleted a day later.
    new = {"secret": secrets.token_bytes(KEY_BYTES)}
    key, _ = ClientKey.objects.get_or_create(day=day, defaults=new)
    return Terms(compiled(enabled_rules()), sites_of(urls), bytes(key.secret))


def sites_for(sites: Sites, key: IngestKey | None, origin: str) -> Sites:
    """Returns those of the sites for which a request may report.

    With an ingest key, these are the origins of the key, because everyone can read the keys of
    public pages. If the request has an Origin header, a page of another origin did not send it. The
    origin `null` names no page.
    """
    own = None if key is None else tuple(key.origins)
    return _narrowed(sites, own, "" if origin == OPAQUE else origin[:MAX_ORIGIN])


@lru_cache(maxsize=256)
def _narrowed(sites: Sites, own: tuple[str, ...] | None, origin: str) -> Sites:
    if own is not None:
        sites &= sites_of(own)
    return sites & sites_of([origin]) if origin else sites


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
