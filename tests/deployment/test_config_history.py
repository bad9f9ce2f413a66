"""Revisions of the configuration, their differences, and the servers that run them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from coderapi import readiness
from coderapi.admin_cards import COUNTED_APART
from deployment.history import differences, has_drifted, hosts_by_configuration, record
from deployment.models import ConfigRevision
from kernel.db import replicas as db_replicas
from kernel.db.replicas import OTHER_KEYS, OTHER_SETTINGS, PREFIX, Replica, misfit
from options.configuration import load
from options.redaction import ConfigSnapshot, snapshot
from tests.support.api.client import APIClient
from tests.support.commands import manage
from tests.support.processes import Program, in_database, wait_for
from tests.support.servers.live import obeying

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "the key of these digests"


def of(key: str = KEY, **environ: str) -> ConfigSnapshot:
    return snapshot(load(environ), key=key)


def revision(**environ: str) -> ConfigRevision:
    recorded = record(of(**environ), now=NOW)
    assert recorded
    return recorded


def test_same_values_have_the_same_digest_from_any_source() -> None:
    by_env = of(CODER_HTTP_ADDRESS="127.0.0.1:3000")
    assert by_env.digest == of().digest
    assert by_env.sources == {"http_address": "env"}
    assert of(CODER_HTTP_ADDRESS="127.0.0.1:3001").digest != of().digest


def test_secret_is_stored_as_a_keyed_digest() -> None:
    one, other = of(CODER_SCIM_AUTH_HEADER="planted"), of(CODER_SCIM_AUTH_HEADER="other")
    assert "scim_api_key" not in one.values
    assert one.secrets["scim_api_key"] != other.secrets["scim_api_key"]
    assert one.secrets == of(CODER_SCIM_AUTH_HEADER="planted").secrets
    assert one.secrets != of("another key", CODER_SCIM_AUTH_HEADER="planted").secrets
    assert of().secrets == {}
    assert "planted" not in repr(one)


def test_password_in_a_value_changes_the_digest_and_is_not_stored() -> None:
    one = of(CODER_DERP_SERVER_RELAY_URL="https://u:planted@h")
    other = of(CODER_DERP_SERVER_RELAY_URL="https://u:other@h")
    assert one.values == other.values
    assert one.digest != other.digest
    assert "planted" not in json.dumps([one.values, one.secrets])


@pytest.mark.django_db
def test_start_is_recorded_only_with_a_change() -> None:
    assert record(of(), now=NOW)
    assert record(of(), now=NOW) is None
    assert record(of(CODER_VERBOSE="true"), now=NOW)
    assert record(of(), now=NOW)
    assert ConfigRevision.objects.count() == 3


@pytest.mark.django_db
def test_differences_name_options_and_never_a_secret() -> None:
    before = revision(CODER_SCIM_AUTH_HEADER="planted", CODER_BROWSER_ONLY="true")
    secret, url = {"CODER_PROVISIONER_DAEMON_PSK": "planted"}, "http://u:pass@a.example"
    after = revision(CODER_SCIM_AUTH_HEADER="other", CODER_ACCESS_URL=url, **secret)
    assert [str(each) for each in differences(before, after)] == [
        "Access URL: (empty) → http://u:xxxxx@a.example",
        "Provisioner Daemon Pre-shared Key (PSK): (empty) → (secret)",
        "Browser Only: true → false",
        "SCIM API Key: (secret) → (secret), changed",
    ]
    assert differences(before, before) == []
    # An unknown option is named by its path.
    before, after = revision(), revision(CODER_VERBOSE="true")
    before.values = {**after.values, "gone.option": "x", "gone.default": "y"}
    before.sources = {**after.sources, "gone.option": "env"}
    assert [str(each) for each in differences(before, after)] == ["gone.option: x → (empty)"]


def replica(name: str, *, listens: bool = True) -> Replica:
    return Replica(name, connections=1, listens=listens, since=NOW)


def test_servers_that_differ_have_drifted() -> None:
    same = [replica("a:1#11111111"), replica("a:2#11111111"), replica("b:1#11111111")]
    assert hosts_by_configuration(same) == {"11111111": ["a", "b"]}
    assert not has_drifted(hosts_by_configuration(same))
    assert has_drifted(hosts_by_configuration([*same, replica("c:1#22222222")]))
    # A command with other settings is not drift.
    running = [replica("a:1#11111111"), replica("a:3#22222222", listens=False), replica("a:4")]
    assert not has_drifted(hosts_by_configuration(running))


@pytest.mark.django_db
def test_command_lists_revisions_and_compares_two(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = revision(), revision(CODER_BROWSER_ONLY="true")
    call_command("list_config_revisions")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(second.pk), str(first.pk)]
    call_command("list_config_revisions", diff=[first.pk, second.pk])
    assert capsys.readouterr().out == "Browser Only: false → true\n"
    with pytest.raises(CommandError, match="Revision 0 does not exist"):
        call_command("list_config_revisions", diff=[0, second.pk])


PAGE = "/admin/deployment/configrevision/"


def test_page_lists_revisions_and_compares_two(owner: APIClient) -> None:
    first, second = revision(), revision(CODER_BROWSER_ONLY="true")
    owner.force_login(owner.user)
    listed = owner.get(PAGE).text
    assert second.short in listed
    form = {"action": "compare", "_selected_action": [first.pk, second.pk]}
    answer: Any = owner.post(PAGE, form)
    assert answer.headers["Location"] == f"{PAGE}{first.pk}/{second.pk}/"
    page = owner.get(answer.headers["Location"]).text
    assert "Browser Only" in page
    assert "<td>true</td>" in page


def test_each_revision_links_to_its_changes_from_the_previous_one_of_its_server(
    owner: APIClient,
) -> None:
    first = revision()
    of_coder = record(of(CODER_SSH_KEYGEN_ALGORITHM="rsa4096"), now=NOW, coder_url="http://c.test")
    second = revision(CODER_BROWSER_ONLY="true")
    owner.force_login(owner.user)
    link = f'href="{PAGE}{first.pk}/{second.pk}/">Changed options</a>'
    listed = owner.get(PAGE).text
    assert listed.count("Changed options</a>") == listed.count(link) == 1
    assert link in owner.get(f"{PAGE}{second.pk}/change/").text
    assert of_coder
    assert "first revision" in owner.get(f"{PAGE}{of_coder.pk}/change/").text


def test_page_of_a_revision_lists_set_options_before_defaults(owner: APIClient) -> None:
    url = "postgres://u:held-back@h/d"
    found = revision(CODER_BROWSER_ONLY="true", CODER_PG_CONNECTION_URL=url)
    owner.force_login(owner.user)
    page = owner.get(f"{PAGE}{found.pk}/change/").text
    lines = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    assert ("Browser Only", "true", "env") in lines
    sources = [source for _, _, source in lines]
    number_set = len(list(filter(None, sources)))
    assert all(sources[:number_set])
    assert len(sources) > 100 > number_set
    assert "held-back" not in page


def test_members_cannot_see_the_history(member: APIClient) -> None:
    found = revision()
    member.force_login(member.user)
    for path in (PAGE, f"{PAGE}{found.pk}/{found.pk}/"):
        assert member.get(path).status_code == 302


@contextmanager
def server_named(name: str) -> Iterator[None]:
    """Opens a connection that listens for changes, like a server's."""
    url = in_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"])
    with psycopg.connect(url, application_name=f"{PREFIX}{name}", autocommit=True) as listening:
        listening.execute("LISTEN coderapi")
        yield


# `transaction=True`: not in one transaction, because PostgreSQL would keep showing the first state
# of pg_stat_activity.
@pytest.mark.django_db(transaction=True)
def test_page_and_command_show_drift(owner: APIClient, capsys: pytest.CaptureFixture[str]) -> None:
    found = revision()
    owner.force_login(owner.user)
    warning = "Servers run different configurations."
    with server_named(f"one:1#{found.short}"):
        page = owner.get(PAGE).text
        assert f"Configuration {found.short} runs on one." in page
        assert warning not in page
        with server_named("two:1#ffffffff"):
            page = owner.get(PAGE).text
            call_command("list_config_revisions")
    assert "Configuration ffffffff runs on two." in page
    assert warning in page
    output = capsys.readouterr()
    assert warning in output.err
    assert output.out.rstrip().endswith("running on one")


def test_servers_and_workers_record_their_configuration() -> None:
    with obeying("--web-only", CODER_BROWSER_ONLY="true") as first:
        database = {"DATABASE_URL": first.database}
        (line,) = manage("list_config_revisions", **database).stdout.splitlines()
        assert "running on" in line
        with obeying("--web-only", **database):
            listing = manage("list_config_revisions", **database)
        log = first.log.with_name("worker")
        with Program("worker", log=log, CODER_HIDE_AI_TASKS="true", **database):
            listed = partial(manage, "list_config_revisions", **database)
            wait_for(lambda: len(listed().stdout.splitlines()) == 3)
    assert len(listing.stdout.splitlines()) == 2
    assert listing.stdout.count("running on") == 2
    assert "different configurations" in listing.stderr


# --- Processes that do not fit ----------------------------------------------------------------


def named_like(secret_key: str, shared: str = "") -> str:
    """Returns the digests in the names of the connections of a process with these settings."""
    before = db_replicas._configuration
    db_replicas.name_configuration("11111111", secret_key=secret_key, shared=shared)
    try:
        return db_replicas.application_name().partition("#")[2]
    finally:
        db_replicas._configuration = before


def test_configuration_is_the_first_of_the_digests() -> None:
    digests = named_like("a" * 50)
    assert replica(f"a:1#{digests}").configuration == "11111111"
    assert "a" * 50 not in digests
    assert len(f"{PREFIX}:4194304#{digests}") < db_replicas.MAX_BYTES - 20


@pytest.mark.parametrize(
    ("others", "warning"),
    [
        ([], ""),
        (["b:1#11111111"], ""),
        ([f"b:1#{named_like('a' * 50, 'documented')}"], ""),
        ([f"b:1#{named_like('b' * 50, 'documented')}"], OTHER_KEYS),
        ([f"b:1#{named_like('a' * 50, 'coderd')}"], OTHER_SETTINGS),
    ],
    ids=["one", "older release", "same", "other key", "other settings"],
)
def test_processes_that_differ_do_not_fit(others: list[str], warning: str) -> None:
    own = replica(f"a:1#{named_like('a' * 50, 'documented')}")
    assert misfit([own, *map(replica, others)]) == warning
    # A command may have other settings.
    commands = [replica(name, listens=False) for name in others]
    assert misfit([own, *commands]) == ""


@pytest.mark.django_db(transaction=True)
def test_home_page_and_readyz_warn_of_another_secret_key(owner: APIClient, settings: Any) -> None:
    owner.force_login(owner.user)
    settings.REDIS_URL = ""
    with server_named(f"one:1#{named_like('a' * 50)}"):
        page = owner.get("/admin/").text
        assert OTHER_KEYS not in page
        assert COUNTED_APART not in page
        with server_named(f"two:1#{named_like('b' * 50)}"):
            page = owner.get("/admin/").text
            readiness._states.clear()
            checks = owner.get("/readyz").json()["checks"]
        assert OTHER_KEYS in page
        assert COUNTED_APART in page
        assert checks["servers"] == {"state": "warning", "reason": OTHER_KEYS}
        settings.REDIS_URL = "redis://cache.example"
        with server_named(f"two:1#{named_like('a' * 50)}"):
            assert COUNTED_APART not in owner.get("/admin/").text
