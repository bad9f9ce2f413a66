from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError
from django.urls import reverse
from django.utils import timezone

from audit.services import SYSTEM
from csp.access.page_headers import headers_by_origin, version_note
from csp.services import create_ingest_key
from kernel.commands import BaseCommand


class Command(BaseCommand):
    help = (
        "Creates an ingest key. Browsers use this public key to report CSP violations on the pages "
        "of the given origins. Prints the key, and the headers that these pages need."
    )
    examples = "--origin https://coder.example.com --name staging"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--origin",
            action="append",
            required=True,
            metavar="https://…",
            help="an origin whose pages may use the key; repeat the option for several origins",
        )
        parser.add_argument(
            "--name", help="the name of the key; default: the host of the first origin"
        )

    def handle(self, *args: Any, origin: list[str], name: str | None, **options: Any) -> str:
        try:
            key = create_ingest_key(name=name, origins=origin, actor=SYSTEM, now=timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from None
        except IntegrityError:
            raise CommandError(
                f"An ingest key named {name!r} already exists. Choose another name."
            ) from None
        lines = [key.value]
        for origins, headers, note in headers_by_origin(key.value, key.origins):
            what = "these headers" if len(headers) > 1 else "this header"
            lines += ["", f"Send {what} with the pages of {', '.join(origins)}:", "", *headers]
            lines += ["", note] if note else []
        lines += ["", version_note(key.value)]
        path = reverse("admin:csp_ingestkey_check_site", args=[key.pk])
        page = f"{settings.ACCESS_URL.rstrip('/')}{path}"
        lines += ["", f"This page shows whether reports arrive: {page}"]
        return "\n".join(lines)
