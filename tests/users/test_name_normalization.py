"""Names and e-mail addresses have one normal form, so that look-alikes cannot be separate users."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from tests.support.api.client import APIClient
from tests.support.api.sending import send, validation_fields
from tests.support.commands import run
from tests.support.factories import PASSWORD, make_user
from users.names import normal_email, normal_username
from users.selectors import user_by_name

pytestmark = pytest.mark.django_db

NEW = {"email": "new@example.com", "username": "newcomer", "password": "a-quite-good-one"}
LONG_S, DOTLESS_I, KELVIN, WIDE_A = "\u017f", "\u0131", "\u212a", "\uff41"


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("email", f"owner@localho{LONG_S}t.localdomain", 409),
        ("email", "OWNER@LOCALHOST.LOCALDOMAIN", 409),
        ("email", f"owner@local{WIDE_A}host.localdomain", 201),
        ("email", f"v{DOTLESS_I}ctim@example.com", 400),
        ("email", f"{LONG_S}am@example.com", 201),
        ("email", f"ow{LONG_S}ner\u0301@example.com", 400),
        ("username", f"{KELVIN}elvin", 400),
        ("username", f"k{DOTLESS_I}lvin", 400),
        ("username", "KELVIN", 409),
    ],
)
def test_look_alike_is_the_same_name_or_invalid(
    field: str, value: str, status: int, user_admin: APIClient
) -> None:
    make_user("owner", username="kelvin", email="owner@localhost.localdomain")

    answer = send(user_admin, "POST", "/users", NEW | {field: value})

    assert answer.status_code == status, answer.content
    assert status == 201 or validation_fields(answer) == [field]


def test_owner_can_sign_in_after_attempts_with_look_alikes(user_admin: APIClient) -> None:
    owner = make_user("owner", email="owner@localhost.localdomain")
    for letter in (LONG_S, "S", "s"):
        send(user_admin, "POST", "/users", NEW | {"email": f"owner@localho{letter}t.localdomain"})
    body = {"email": "Owner@LocalHost.LocalDomain", "password": PASSWORD}

    token = send(APIClient(), "POST", "/users/login", body).json()["session_token"]
    for made in (token, run("create_token", "--user", "owner@localhost.localdomain")):
        assert APIClient(token=made).get("/api/v2/users/me").json()["id"] == str(owner.id)


def test_host_is_stored_and_looked_up_in_ascii(owner: APIClient) -> None:
    made = send(owner, "POST", "/users", NEW | {"email": "a@B\u00fccher.example"})

    assert made.json()["email"] == "a@xn--bcher-kva.example"
    body = {"email": "A@b\u00dccher.example", "password": NEW["password"]}
    assert send(APIClient(), "POST", "/users/login", body).status_code == 201


def test_sharp_s_is_kept_and_an_address_that_0_1_0_stored_still_signs_in(owner: APIClient) -> None:
    old = make_user(email="ada@fass.example")

    def signed_in_as() -> str:
        body = {"email": "ada@fa\u00df.example", "password": PASSWORD}
        token = send(APIClient(), "POST", "/users/login", body).json()["session_token"]
        return str(APIClient(token=token).get("/api/v2/users/me").json()["id"])

    assert signed_in_as() == str(old.pk)
    new = NEW | {"email": "ada@fa\u00df.example", "password": PASSWORD}
    made = send(owner, "POST", "/users", new).json()
    assert made["email"] == "ada@xn--fa-hia.example"
    assert signed_in_as() == made["id"]


@pytest.mark.parametrize("column", ["username", "email"])
def test_look_up_by_name_uses_an_index(owner: APIClient, column: str) -> None:
    needle = make_user(username="needle", email="needle@example.com")

    with CaptureQueriesContext(connection) as queries:
        if column == "email":
            assert user_by_name("Needle@Example.com") == needle
        else:
            assert owner.get("/api/v2/users/NEEDLE").status_code == 200

    (look_up,) = [query["sql"] for query in queries if "needle" in query["sql"]]
    assert f"WHERE {column} = %s" in look_up
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN SELECT 1 FROM users_user WHERE {column} = 'needle'")  # noqa: S608 - a column
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert f"user_{column}_unique" in plan, plan
    assert "Seq Scan" not in plan, plan


@given(st.text(max_size=40))
def test_normal_form_is_idempotent(text: str) -> None:
    for normal in (normal_username, normal_email):
        assert normal(normal(text)) == normal(text)
