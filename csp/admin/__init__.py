"""The pages of CSP reports in the admin."""

from __future__ import annotations

from audit.admin import register_target
from csp.admin import groups, keys, noise, reports
from csp.models import Group, IngestKey, NoiseRule

__all__ = ["groups", "keys", "noise", "reports"]

register_target("noise_rule", NoiseRule)
register_target("ingest_key", IngestKey)
register_target("csp_group", Group)
