"""Plain Django and DRF on the service's tables: the ORM, and a ModelSerializer for each response.

It is a Django project of its own, with the middlewares of `startproject`.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

APP = "bench_reference"


def _database() -> dict[str, Any]:
    found = conninfo_to_dict(os.environ["DATABASE_URL"])
    size = int(os.environ["BENCH_POOL"])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found["dbname"],
        "USER": found["user"],
        "PASSWORD": found["password"],
        "HOST": found["host"],
        "PORT": found.get("port", ""),
        "OPTIONS": {"pool": {"min_size": size, "max_size": size, "timeout": 30}},
    }


settings.configure(
    SECRET_KEY="only-for-measuring",  # noqa: S106 - signs nothing
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": _database()},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "rest_framework",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    # The HTTP server of coderapi reads them.
    TRUSTED_PROXY_HEADERS=(),
    TRUSTED_PROXY_ORIGINS=(),
    USE_TZ=True,
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402 - needs the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from bench.service import THREADS  # noqa: E402
from coderapi.server.prometheus import InThreads  # noqa: E402


class User(models.Model):
    """A user in the service's table."""

    id = models.UUIDField(primary_key=True)
    username = models.CharField(max_length=32)
    email = models.EmailField()
    name = models.CharField(max_length=128)
    avatar_url = models.URLField()
    status = models.CharField(max_length=16)
    roles = ArrayField(models.CharField(max_length=32))
    theme_preference = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True)

    is_authenticated = True

    class Meta:
        app_label = APP
        db_table = "users_user"
        managed = False

    def __str__(self) -> str:
        return self.username


class Key(models.Model):
    """A session token in the service's table."""

    id = models.CharField(primary_key=True, max_length=10)
    hashed_secret = models.BinaryField()
    user = models.ForeignKey(User, models.CASCADE)
    token_name = models.CharField(max_length=255)
    login_type = models.CharField(max_length=16)
    scopes = ArrayField(models.CharField(max_length=64))
    allow_list = models.JSONField()
    lifetime_ns = models.BigIntegerField()
    last_used = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label = APP
        db_table = "tokens_apikey"
        managed = False

    def __str__(self) -> str:
        return self.id


class KeyAuthentication(BaseAuthentication):
    """Looks up the token for every request, as the usual libraries do."""

    def authenticate(self, request: Request) -> tuple[User, Key]:
        key_id, _, secret = request.headers["Coder-Session-Token"].partition("-")
        key = Key._default_manager.select_related("user").filter(id=key_id).first()
        if key is None or bytes(key.hashed_secret) != hashlib.sha256(secret.encode()).digest():
            raise AuthenticationFailed
        return key.user, key


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = "__all__"


class KeySerializer(serializers.ModelSerializer[Key]):
    username = serializers.CharField(source="user.username")

    class Meta:
        model = Key
        exclude = ("hashed_secret",)


class ReadView(APIView):
    authentication_classes = [KeyAuthentication]


class MeView(ReadView):
    def get(self, request: Request) -> Response:
        return Response(UserSerializer(request.user).data)  # type: ignore[arg-type]  # it is ours


class TokensView(ReadView):
    def get(self, request: Request) -> Response:
        found = Key._default_manager.filter(user=request.user.pk, login_type="token")
        ordered = found.select_related("user").order_by("-created_at")
        return Response(KeySerializer(ordered, many=True).data)


class UsersView(ReadView):
    def get(self, request: Request) -> Response:
        users, limit = User._default_manager.order_by("username"), int(request.GET["limit"])
        shown = UserSerializer(users[:limit], many=True).data
        return Response({"users": shown, "count": users.count()})


urlpatterns = [
    path("api/v2/users", UsersView.as_view()),
    path("api/v2/users/me", MeView.as_view()),
    path("api/v2/users/me/keys/tokens", TokensView.as_view()),
]


def build() -> Any:
    """Returns an application that runs Django in threads, as the service does."""
    return InThreads(get_wsgi_application(), THREADS)
