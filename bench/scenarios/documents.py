"""Cached documents, and requests with keys that the service has not cached."""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus

from bench import requests, rows
from bench.harness import Measure, Scenario
from bench.load import BenchError
from bench.scenarios.base import READERS, SSH, Batches, Bench, bare, load, recorded
from bench.service import Service, reference

# (name, path, minimum). The bare function sends constant bytes and takes no steps. The minimums are
# a fifth below the usual ratios.
PUBLIC = (
    ("buildinfo", "/api/v2/buildinfo", 0.42),
    ("/", "/api/v2/", 0.42),
    ("updatecheck", "/api/v2/updatecheck", 0.42),
)
AUTHENTICATED = (
    ("experiments", "/api/v2/experiments", 0.3),
    ("ssh", SSH, 0.3),
    ("stats", "/api/v2/deployment/stats", 0.27),
    ("tokenconfig of me", "/api/v2/users/me/keys/tokens/tokenconfig", 0.27),
    ("config (147 KB)", "/api/v2/deployment/config", 0.45),
)
CONFIG = "/api/v2/deployment/config"
NOT_MODIFIED = "/not-modified"
# The time in which all processes receive the notifications.
NOTIFY_SECONDS = 0.3


def documents(bench: Bench) -> Batches:
    """Measures documents beside a function that returns the same bytes and headers."""
    service = bench.service
    answers = {path: recorded(service, path) for _, path, _ in PUBLIC + AUTHENTICATED}
    refused = [path for path, answer in answers.items() if answer[0] != HTTPStatus.OK]
    if refused:
        raise BenchError(f"The service does not return these documents: {', '.join(refused)}.")
    tag = {name.lower(): value for name, value in answers[CONFIG][1]}["etag"]
    answers[NOT_MODIFIED] = recorded(service, CONFIG, **{"If-None-Match": tag})
    with reference("bare", answers) as url:
        with_key = requests.with_token(service.token)
        conditional = requests.with_token(service.token, **{"If-None-Match": tag})
        yield [
            *(_document(service, url, *row, script=requests.WITHOUT_TOKEN) for row in PUBLIC),
            *(_document(service, url, *row, script=with_key) for row in AUTHENTICATED),
            Scenario(
                "config with If-None-Match",
                load("304", service.url + CONFIG, conditional),
                bare(url, NOT_MODIFIED, conditional),
                at_least=0.26,
            ),
        ]


def _document(
    service: Service, url: str, name: str, path: str, minimum: float, *, script: str
) -> Scenario:
    return Scenario(
        name, load(name, service.url + path, script), bare(url, path, script), at_least=minimum
    )


def keys(bench: Bench) -> Batches:
    """Measures keys that are not cached beside a lookup with psycopg."""
    service = bench.service
    lookup_answers = {"/lookup": recorded(service, SSH)}
    with reference("bare", lookup_answers, DATABASE_URL=service.database_url) as url:
        first, lookup = first_seen(service, url)
        name, prepare = "first-seen keys, touch due", partial(make_touch_due, service)
        due = load(name, service.url + SSH, requests.readers(READERS), prepare=prepare)
        yield [
            Scenario(first.name, first, lookup, at_least=0.6),
            Scenario(due.name, due, lookup, at_least=0.5),
        ]


def first_seen(service: Service, url: str) -> tuple[Measure, Measure]:
    """Returns a measure of keys that are not cached, and one of a lookup with psycopg."""
    script = requests.readers(READERS)
    ours = load("first-seen keys", service.url + SSH, script, prepare=partial(evict, service))
    return ours, load("psycopg lookup", f"{url}/lookup", script)


def evict(service: Service) -> None:
    """Lets the service evict the readers' keys from its caches."""
    with service.connect() as connection:
        rows.evict_readers(connection)
    time.sleep(NOTIFY_SECONDS)


def make_touch_due(service: Service) -> None:
    """Evicts the readers' keys, and makes the next use of each a write."""
    with service.connect() as connection:
        rows.make_touch_due(connection)
    evict(service)
