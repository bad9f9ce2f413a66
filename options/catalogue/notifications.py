"""How people are told about events."""

from __future__ import annotations

from options.catalogue.groups import NOTIFICATIONS, NOTIFICATIONS_INBOX, NOTIFICATIONS_WEBHOOK
from options.option import Option
from options.values import URL, Bool, Duration, Integer, Text

NOTIFICATIONS_OPTIONS = (
    Option(
        name="Notifications: Method",
        description="How notifications are sent when their kind does not say: smtp or webhook.",
        type=Text(),
        json_path="notifications.method",
        env="CODER_NOTIFICATIONS_METHOD",
        flag="notifications-method",
        yaml="method",
        default="smtp",
        group=NOTIFICATIONS,
    ),
    Option(
        name="Notifications: Dispatch Timeout",
        description=(
            "How long the sending of one notification may take before it counts as failed."
        ),
        type=Duration(),
        json_path="notifications.dispatch_timeout",
        env="CODER_NOTIFICATIONS_DISPATCH_TIMEOUT",
        flag="notifications-dispatch-timeout",
        yaml="dispatchTimeout",
        default="1m0s",
        group=NOTIFICATIONS,
    ),
    Option(
        name="Notifications: Webhook: Endpoint",
        description="Where notifications are posted to as JSON when they go by webhook.",
        type=URL(),
        json_path="notifications.webhook.endpoint",
        env="CODER_NOTIFICATIONS_WEBHOOK_ENDPOINT",
        flag="notifications-webhook-endpoint",
        yaml="endpoint",
        group=NOTIFICATIONS_WEBHOOK,
    ),
    Option(
        name="Notifications: Inbox: Enabled",
        description="Show notifications in the dashboard's inbox too.",
        type=Bool(),
        json_path="notifications.inbox.enabled",
        env="CODER_NOTIFICATIONS_INBOX_ENABLED",
        flag="notifications-inbox-enabled",
        yaml="enabled",
        default="true",
        group=NOTIFICATIONS_INBOX,
    ),
    Option(
        name="Notifications: Max Send Attempts",
        description="How often the sending of one notification is tried before it is given up.",
        type=Integer(),
        json_path="notifications.max_send_attempts",
        env="CODER_NOTIFICATIONS_MAX_SEND_ATTEMPTS",
        flag="notifications-max-send-attempts",
        yaml="maxSendAttempts",
        default="5",
        group=NOTIFICATIONS,
    ),
    Option(
        name="Notifications: Retry Interval",
        description="How long to wait before a failed notification is tried again.",
        type=Duration(),
        json_path="notifications.retry_interval",
        env="CODER_NOTIFICATIONS_RETRY_INTERVAL",
        flag="notifications-retry-interval",
        yaml="retryInterval",
        default="5m0s",
        group=NOTIFICATIONS,
        hidden=True,
    ),
    Option(
        name="Notifications: Store Sync Interval",
        description=(
            "How often results of sending are written to the database. A longer interval means "
            "fewer writes, and more repeats after a crash."
        ),
        type=Duration(),
        json_path="notifications.sync_interval",
        env="CODER_NOTIFICATIONS_STORE_SYNC_INTERVAL",
        flag="notifications-store-sync-interval",
        yaml="storeSyncInterval",
        default="2s",
        group=NOTIFICATIONS,
        hidden=True,
    ),
    Option(
        name="Notifications: Store Sync Buffer Size",
        description=(
            "How many results of sending are held in memory before sending waits for the database."
        ),
        type=Integer(),
        json_path="notifications.sync_buffer_size",
        env="CODER_NOTIFICATIONS_STORE_SYNC_BUFFER_SIZE",
        flag="notifications-store-sync-buffer-size",
        yaml="storeSyncBufferSize",
        default="50",
        group=NOTIFICATIONS,
        hidden=True,
    ),
    Option(
        name="Notifications: Lease Period",
        description=(
            "For how long one server reserves the notifications that it is about to send. Others "
            "take them over afterwards."
        ),
        type=Duration(),
        json_path="notifications.lease_period",
        env="CODER_NOTIFICATIONS_LEASE_PERIOD",
        flag="notifications-lease-period",
        yaml="leasePeriod",
        default="2m0s",
        group=NOTIFICATIONS,
        hidden=True,
    ),
    Option(
        name="Notifications: Lease Count",
        description="How many notifications one server reserves at once.",
        type=Integer(),
        json_path="notifications.lease_count",
        env="CODER_NOTIFICATIONS_LEASE_COUNT",
        flag="notifications-lease-count",
        yaml="leaseCount",
        default="20",
        group=NOTIFICATIONS,
        hidden=True,
    ),
    Option(
        name="Notifications: Fetch Interval",
        description="How often the database is asked for notifications to send.",
        type=Duration(),
        json_path="notifications.fetch_interval",
        env="CODER_NOTIFICATIONS_FETCH_INTERVAL",
        flag="notifications-fetch-interval",
        yaml="fetchInterval",
        default="15s",
        group=NOTIFICATIONS,
        hidden=True,
    ),
)
