"""Every option of Coder's server as data, and every setting of coderapi.

To add an option of Coder's server, find the options before and after it in Coder's order, and add
an entry between them. Clients show the options in the order of CATALOGUE.
"""

from __future__ import annotations

from options.catalogue.ai import AI_OPTIONS
from options.catalogue.ai_gateway import AI_GATEWAY_OPTIONS, AI_PROVIDERS, OLD_YAML_KEYS
from options.catalogue.client import CLIENT_OPTIONS
from options.catalogue.email import EMAIL_OPTIONS
from options.catalogue.github import GITHUB_OPTIONS
from options.catalogue.groups import GROUPS
from options.catalogue.introspection import INTROSPECTION_OPTIONS
from options.catalogue.networking import NETWORKING_OPTIONS
from options.catalogue.notifications import NOTIFICATIONS_OPTIONS
from options.catalogue.oidc import OIDC_OPTIONS
from options.catalogue.operation import OPERATION_OPTIONS
from options.catalogue.own import OWN_OPTIONS
from options.catalogue.retention import RETENTION_OPTIONS
from options.catalogue.server import SERVER_OPTIONS
from options.option import Option

__all__ = ["AI_PROVIDERS", "CATALOGUE", "GROUPS", "OLD_YAML_KEYS", "OWN_OPTIONS"]

CATALOGUE: tuple[Option, ...] = (
    *NETWORKING_OPTIONS,
    *INTROSPECTION_OPTIONS,
    *GITHUB_OPTIONS,
    *OIDC_OPTIONS,
    *OPERATION_OPTIONS,
    *SERVER_OPTIONS,
    *CLIENT_OPTIONS,
    *EMAIL_OPTIONS,
    *NOTIFICATIONS_OPTIONS,
    *AI_OPTIONS,
    *AI_GATEWAY_OPTIONS,
    *RETENTION_OPTIONS,
)
