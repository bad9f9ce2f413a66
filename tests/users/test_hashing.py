"""Hashing passwords does not take the service down, even with many sign-ins at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.models import Entry
from tests.support.api.client import APIClient
from tests.support.api.sending import after_too_many_sign_ins, send, validation_fields
from tests.support.concurrency import at_once
from tests.support.factories import PASSWORD, make_key, make_user
from tests.support.servers.live import own_server
from users import passwords
from users.models import User

LOG_INS = 30
TRIES = 5
STRANGER = {"email": "stranger@example.com", "password": "no-password-of-ours"}
MEBIBYTE = 1024 * 1024


class ShippedArgon2(passwords.BoundedArgon2):
    """Has the costs as they are when this module is imported. A fixture reduces them later."""

    time_cost, memory_cost = passwords.BoundedArgon2.time_cost, passwords.BoundedArgon2.memory_cost


class DearerArgon2(passwords.BoundedArgon2):
    time_cost = 2


@pytest.mark.django_db(transaction=True)
def test_requests_are_answered_while_sign_ins_wait_for_a_hash(settings: Any) -> None:
    settings.API_RATE_LIMIT = None
    users = [make_user() for _ in range(LOG_INS)]
    token = make_key(make_user()).token
    # The first request builds the client's schema, which threads must not do at once.
    assert APIClient(token=token).get("/api/v2/experiments").status_code == 200

    def log_in(email: str) -> Any:
        try:
            return send(APIClient(), "POST", "/users/login", STRANGER | {"email": email})
        finally:
            connection.close()

    with passwords.HASHING.hold(), ThreadPoolExecutor(LOG_INS) as threads:
        waiting = [threads.submit(log_in, user.email) for user in users]
        others = []
        while not all(answer.done() for answer in waiting):
            others.append(APIClient(token=token).get("/api/v2/experiments").status_code)

    assert others
    assert set(others) == {200}
    answers = [answer.result() for answer in waiting]
    assert {answer.status_code for answer in answers} == {503}
    assert {int(answer.headers["Retry-After"]) for answer in answers} == {5}
    assert log_in(users[0].email).status_code == 401


def memory_of(pids: set[int], figure: str) -> int:
    """Returns the bytes that the processes use now (VmRSS) or have used at most (VmHWM)."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(figure))


def test_thirty_concurrent_sign_ins_are_answered_and_take_little_memory(tmp_path: Path) -> None:
    with own_server("--web-only", log=tmp_path / "log", CODER_API_RATE_LIMIT="-1") as server:
        workers = server.web_workers()
        before = memory_of(workers, "VmRSS")
        body = json.dumps(STRANGER).encode()

        def log_in(_: int) -> int:
            return server.ask("/api/v2/users/login", method="POST", body=body).status

        def are_answered() -> bool:
            with ThreadPoolExecutor(LOG_INS) as threads:
                statuses = set(threads.map(log_in, range(LOG_INS)))
            return statuses == {401}

        # On a busy machine, hashing may take longer than a request waits.
        assert any(are_answered() for _ in range(TRIES))
        assert memory_of(workers, "VmHWM") - before < 300 * MEBIBYTE


def test_thirty_concurrent_changes_of_passwords_wait_for_each_other(tmp_path: Path) -> None:
    names = {"CODERAPI_FIRST_OWNER_USERNAME": "owner", "CODER_API_RATE_LIMIT": "-1"}
    with own_server("--web-only", log=tmp_path / "log", **names) as server:
        token = server.owner_token
        new = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        assert server.ask("/api/v2/users", method="POST", token=token, body=new).status == 201

        def change(number: int) -> int:
            body = {"password": f"{PASSWORD}-{number}"}
            path = "/api/v2/users/ada/password"
            return server.ask(path, method="PUT", token=token, body=body).status

        def are_served() -> bool:
            with ThreadPoolExecutor(LOG_INS) as threads:
                statuses = set(threads.map(change, range(LOG_INS)))
            return 204 in statuses and statuses <= {204, 409}

        # On a busy machine, hashing may take longer than a request waits.
        assert any(are_served() for _ in range(TRIES))


@pytest.mark.django_db
def test_password_is_hashed_with_owasps_parameters(owner: APIClient, settings: Any) -> None:
    user = make_user()
    settings.PASSWORD_HASHERS = [f"{__name__}.ShippedArgon2"]

    send(owner, "PUT", f"/users/{user.id}/password", {"password": "another-horse-battery"})

    user.refresh_from_db()
    assert user.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.django_db
def test_wrong_old_password_counts_as_a_failed_sign_in(member: APIClient) -> None:
    wrong = {"old_password": "wrong-password", "password": "another-horse-battery"}

    first = send(member, "PUT", "/users/me/password", wrong)

    assert (first.status_code, validation_fields(first)) == (400, ["old_password"])
    failure = Entry.objects.get(action="user.sign_in_failed")
    assert (failure.target_name, failure.ip_address) == (member.user.username, "127.0.0.1")

    change = partial(send, member, "PUT", "/users/me/password", wrong)
    assert after_too_many_sign_ins(change).status_code == 429


@pytest.mark.django_db(transaction=True)
def test_concurrent_sign_ins_that_rehash_all_succeed(settings: Any) -> None:
    settings.API_RATE_LIMIT = None
    user = make_user()
    before = user.password
    settings.PASSWORD_HASHERS = [f"{__name__}.DearerArgon2"]
    entered = {"email": user.email, "password": PASSWORD}

    def log_in() -> int:
        return int(send(APIClient(), "POST", "/users/login", entered).status_code)

    assert at_once(6 * [log_in]) == 6 * [201]
    user.refresh_from_db()
    assert user.password != before
    assert "t=2" in user.password


@pytest.mark.django_db
def test_rehashing_never_restores_an_old_password(owner: APIClient, settings: Any) -> None:
    user = make_user()
    seen_before = User.objects.get(pk=user.pk)
    new = {"password": "another-horse-battery"}
    assert send(owner, "PUT", f"/users/{user.id}/password", new).status_code == 204
    settings.PASSWORD_HASHERS = [f"{__name__}.DearerArgon2"]

    # Like a sign-in that read the user just before the change.
    assert not seen_before.check_password(PASSWORD)

    user.refresh_from_db()
    assert user.check_password("another-horse-battery")
