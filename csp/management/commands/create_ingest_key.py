from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError
from django.utils import timezone

from audit.services import SYSTEM
from csp.services import create_ingest_key
from kernel.commands import BaseCommand


class Command(BaseCommand):
    help = "Makes a public key with which the browsers of named origins report CSP violations."
    examples = "--origin https://coder.example.com --name staging"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--origin",
            action="append",
            required=True,
            metavar="https://…",
            help="an origin whose pages may report; may be given again",
        )
        parser.add_argument(
            "--name", help="what it is called; by default the first origin's host, and a number"
        )

    def handle(self, *args: Any, origin: list[str], name: str | None, **options: Any) -> str:
        try:
            key = create_ingest_key(name=name, origins=origin, actor=SYSTEM, now=timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from None
        except IntegrityError:
            raise CommandError("There is a key of that name already; give another.") from None
        return key.key
