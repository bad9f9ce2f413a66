"""Every option of Coder's server as data: a file for each group, put into Coder's order here."""

from __future__ import annotations

from options.catalogue.ai_bridge import AI_BRIDGE_OPTIONS
from options.catalogue.ai_bridge_proxy import AI_BRIDGE_PROXY_OPTIONS
from options.catalogue.client import CLIENT_OPTIONS
from options.catalogue.config import CONFIG_OPTIONS
from options.catalogue.dangerous import DANGEROUS_OPTIONS
from options.catalogue.database import DATABASE_OPTIONS
from options.catalogue.derp import DERP_OPTIONS
from options.catalogue.email import EMAIL_OPTIONS
from options.catalogue.groups import GROUPS
from options.catalogue.http import HTTP_OPTIONS
from options.catalogue.introspection import INTROSPECTION_OPTIONS
from options.catalogue.logging import LOGGING_OPTIONS
from options.catalogue.networking import NETWORKING_OPTIONS
from options.catalogue.notifications import NOTIFICATIONS_OPTIONS
from options.catalogue.notifications_email import NOTIFICATIONS_EMAIL_OPTIONS
from options.catalogue.oauth2 import OAUTH2_OPTIONS
from options.catalogue.oidc import OIDC_OPTIONS
from options.catalogue.oidc_claims import OIDC_CLAIMS_OPTIONS
from options.catalogue.order import ORDER
from options.catalogue.prebuilds import PREBUILDS_OPTIONS
from options.catalogue.protection import PROTECTION_OPTIONS
from options.catalogue.provisioning import PROVISIONING_OPTIONS
from options.catalogue.quiet_hours import QUIET_HOURS_OPTIONS
from options.catalogue.retention import RETENTION_OPTIONS
from options.catalogue.telemetry import TELEMETRY_OPTIONS
from options.catalogue.tls import TLS_OPTIONS
from options.catalogue.ungrouped import UNGROUPED_OPTIONS
from options.option import Option

__all__ = ["CATALOGUE", "GROUPS"]

_BY_NAME = {
    option.name: option
    for option in (
        *NETWORKING_OPTIONS,
        *HTTP_OPTIONS,
        *TLS_OPTIONS,
        *DERP_OPTIONS,
        *INTROSPECTION_OPTIONS,
        *LOGGING_OPTIONS,
        *OAUTH2_OPTIONS,
        *OIDC_OPTIONS,
        *OIDC_CLAIMS_OPTIONS,
        *TELEMETRY_OPTIONS,
        *PROVISIONING_OPTIONS,
        *QUIET_HOURS_OPTIONS,
        *DANGEROUS_OPTIONS,
        *CLIENT_OPTIONS,
        *CONFIG_OPTIONS,
        *EMAIL_OPTIONS,
        *NOTIFICATIONS_OPTIONS,
        *NOTIFICATIONS_EMAIL_OPTIONS,
        *PREBUILDS_OPTIONS,
        *AI_BRIDGE_OPTIONS,
        *AI_BRIDGE_PROXY_OPTIONS,
        *RETENTION_OPTIONS,
        *DATABASE_OPTIONS,
        *PROTECTION_OPTIONS,
        *UNGROUPED_OPTIONS,
    )
}

CATALOGUE: tuple[Option, ...] = tuple(_BY_NAME[name] for name in ORDER)
