"""Keeping what the options of a start were."""

from __future__ import annotations

import logging
import socket
from datetime import datetime

from django.conf import settings
from django.db import transaction

from deployment.history.models import ConfigRevision
from deployment.history.snapshot import ConfigSnapshot
from kernel.db.connections import transaction_lock

logger = logging.getLogger(__name__)


def warn_of_options() -> None:
    """Logs what is odd about the options, though not wrong. Once a start, not in every process."""
    for warning in settings.OPTIONS.warnings:
        logger.warning("%s", warning)


def record_start(found: ConfigSnapshot, *, now: datetime) -> ConfigRevision | None:
    """The new revision, or None where the newest one says the same."""
    with transaction.atomic(), transaction_lock("config-history"):
        newest = ConfigRevision.objects.newest()
        if newest is not None and newest.digest == found.digest:
            return None
        return ConfigRevision.objects.create(
            digest=found.digest,
            host=socket.gethostname()[:255],
            version=settings.VERSION,
            recorded_at=now,
            values=found.values,
            sources=found.sources,
            secrets=found.secrets,
        )
