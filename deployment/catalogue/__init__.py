"""Every option of Coder's server as data: a file for each group, put into Coder's order here."""

from __future__ import annotations

from deployment.catalogue.ai_bridge import AI_BRIDGE_OPTIONS
from deployment.catalogue.ai_bridge_proxy import AI_BRIDGE_PROXY_OPTIONS
from deployment.catalogue.client import CLIENT_OPTIONS
from deployment.catalogue.config import CONFIG_OPTIONS
from deployment.catalogue.dangerous import DANGEROUS_OPTIONS
from deployment.catalogue.database import DATABASE_OPTIONS
from deployment.catalogue.derp import DERP_OPTIONS
from deployment.catalogue.email import EMAIL_OPTIONS
from deployment.catalogue.groups import GROUPS
from deployment.catalogue.http import HTTP_OPTIONS
from deployment.catalogue.introspection import INTROSPECTION_OPTIONS
from deployment.catalogue.logging import LOGGING_OPTIONS
from deployment.catalogue.networking import NETWORKING_OPTIONS
from deployment.catalogue.notifications import NOTIFICATIONS_OPTIONS
from deployment.catalogue.notifications_email import NOTIFICATIONS_EMAIL_OPTIONS
from deployment.catalogue.oauth2 import OAUTH2_OPTIONS
from deployment.catalogue.oidc import OIDC_OPTIONS
from deployment.catalogue.oidc_claims import OIDC_CLAIMS_OPTIONS
from deployment.catalogue.order import ORDER
from deployment.catalogue.prebuilds import PREBUILDS_OPTIONS
from deployment.catalogue.protection import PROTECTION_OPTIONS
from deployment.catalogue.provisioning import PROVISIONING_OPTIONS
from deployment.catalogue.quiet_hours import QUIET_HOURS_OPTIONS
from deployment.catalogue.retention import RETENTION_OPTIONS
from deployment.catalogue.telemetry import TELEMETRY_OPTIONS
from deployment.catalogue.tls import TLS_OPTIONS
from deployment.catalogue.ungrouped import UNGROUPED_OPTIONS
from deployment.options import Option

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
