from __future__ import annotations

import logging

from django.apps import AppConfig

log = logging.getLogger(__name__)


class ExperimentsConfig(AppConfig):
    name = "experiments"
