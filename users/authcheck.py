"""What a dashboard asks ahead: would the caller be allowed to?"""

from __future__ import annotations

from kernel.http.errors import Validation, invalid
from users import allow_lists, roles, scopes
from users.identity import KeyIdentity
from users.selectors import ME

# Every type of resource that Coder's clients ask about. What this service lacks of them, nobody but
# an owner may touch.
_TYPES = """
* aibridge_interception api_key assign_org_role assign_role audit_log connection_log crypto_key
debug_info deployment_config deployment_stats file group group_member idpsync_settings
inbox_notification license notification_message notification_preference notification_template
oauth2_app oauth2_app_code_token oauth2_app_secret organization organization_member
prebuilt_workspace provisioner_daemon provisioner_jobs replicas system tailnet_coordinator task
template usage_event user user_secret webpush_subscription workspace workspace_agent_devcontainers
workspace_agent_resource_monitor workspace_dormant workspace_proxy
"""
RESOURCE_TYPES = frozenset(_TYPES.split())


def is_allowed(
    identity: KeyIdentity, *, action: str, resource_type: str, owner_id: str, resource_id: str
) -> bool:
    """Whether role, scopes and allow list would let the caller do it.

    Raises: APIError 400 for a type of resource that Coder does not have.
    """
    if resource_type not in RESOURCE_TYPES:
        raise invalid(Validation("resource_type", f"{resource_type!r} is not a known resource."))
    wanted = f"{resource_type}:{action}"
    own = owner_id in (ME, str(identity.user_id))
    return (
        roles.may_on(identity.roles, wanted, own=own)
        and scopes.allow(identity.scopes, wanted)
        and allow_lists.covers(identity.allow_list, resource_type, resource_id or allow_lists.ANY)
    )
