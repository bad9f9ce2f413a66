"""Stores a report the usual way: a token by the ORM, a DRF serializer, and `objects.create`.

It is a separate Django project on the same database, with the middlewares of `startproject`.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

APP = "bench_reference"


def _database() -> dict[str, Any]:
    found = conninfo_to_dict(os.environ["DATABASE_URL"])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found["dbname"],
        "USER": found["user"],
        "PASSWORD": found["password"],
        "HOST": found["host"],
        "PORT": found.get("port", ""),
        # As many connections as the service has in one process.
        "OPTIONS": {"pool": {"min_size": 2, "max_size": 8, "timeout": 30}},
    }


settings.configure(
    SECRET_KEY="only-for-measuring",  # noqa: S106 - signs nothing
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": _database()},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
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
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - needs the settings
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.parsers import JSONParser  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Report(models.Model):
    """The copy of the service's table that pgbench fills, too."""

    received_at = models.DateTimeField(default=timezone.now)
    occurred_at = models.DateTimeField(default=timezone.now)
    group_id = models.UUIDField()
    format = models.CharField(max_length=32, default="report-uri")
    document_uri = models.TextField()
    referrer = models.TextField()
    blocked_uri = models.TextField()
    effective_directive = models.TextField()
    violated_directive = models.TextField()
    original_policy = models.TextField()
    disposition = models.CharField(max_length=64)
    status_code = models.IntegerField(null=True)
    sample = models.TextField(default="")
    source_file = models.TextField(default="")
    line_number = models.IntegerField(null=True)
    browser = models.CharField(max_length=64, default="")
    user_agent = models.TextField(default="")
    client = models.BinaryField(max_length=16)
    coder_version = models.CharField(max_length=64, default="")
    extra = models.JSONField(default=dict)

    class Meta:
        app_label = APP
        db_table = "bench_report"
        managed = False

    def __str__(self) -> str:
        return str(self.pk)


class Key(models.Model):
    """A session token in the service's table."""

    id = models.CharField(primary_key=True, max_length=10)
    hashed_secret = models.BinaryField()
    user_id = models.UUIDField()

    class Meta:
        app_label = APP
        db_table = "tokens_apikey"
        managed = False

    def __str__(self) -> str:
        return self.id


class KeyAuthentication(BaseAuthentication):
    """Looks up the token for every request, as the usual libraries do."""

    def authenticate(self, request: Request) -> tuple[uuid.UUID, Key]:
        key_id, _, secret = request.headers["Coder-Session-Token"].partition("-")
        key = Key._default_manager.filter(id=key_id).first()
        if key is None or bytes(key.hashed_secret) != hashlib.sha256(secret.encode()).digest():
            raise AuthenticationFailed
        return key.user_id, key


class ReportSerializer(serializers.Serializer[Report]):
    """Validates the members that this service validates."""

    document_uri = serializers.CharField(max_length=2048, allow_blank=True)
    referrer = serializers.CharField(max_length=2048, allow_blank=True)
    blocked_uri = serializers.CharField(max_length=2048, allow_blank=True)
    effective_directive = serializers.CharField(max_length=2048)
    violated_directive = serializers.CharField(max_length=2048)
    original_policy = serializers.CharField(max_length=8192)
    disposition = serializers.ChoiceField(choices=["enforce", "report"])
    status_code = serializers.IntegerField(min_value=0)
    line_number = serializers.IntegerField(min_value=0, required=False)


class ReportParser(JSONParser):
    media_type = "application/csp-report"


class ReportView(APIView):
    parser_classes = [ReportParser]
    authentication_classes = [KeyAuthentication]
    permission_classes = []

    def post(self, request: Request) -> Response:
        sent: Any = request.data
        members = {k.replace("-", "_"): v for k, v in sent["csp-report"].items()}
        serializer = ReportSerializer(data=members)
        serializer.is_valid(raise_exception=True)
        Report._default_manager.create(
            group_id=uuid.uuid5(uuid.NAMESPACE_URL, serializer.validated_data["blocked_uri"]),
            user_agent=request.headers.get("User-Agent", ""),
            client=hashlib.sha256(request.META["REMOTE_ADDR"].encode()).digest()[:16],
            **serializer.validated_data,
        )
        return Response("ok")


urlpatterns = [path("reports", ReportView.as_view())]
application = get_wsgi_application()
