"""Notifications about events."""

from __future__ import annotations

from functools import partial

from options.catalogue.email import OLD_EMAIL_OPTIONS
from options.catalogue.groups import INBOX, NOTIFICATIONS, WEBHOOK
from options.option import Option
from options.values import URL, Bool, Duration, Integer, Text

_notifications_option = partial(Option, group=NOTIFICATIONS)

NOTIFICATIONS_OPTIONS = (
    _notifications_option(
        "Notifications: Method",
        "How notifications are sent if their type has no method of its own: smtp or webhook.",
        Text(),
        env="CODER_NOTIFICATIONS_METHOD",
        default="smtp",
    ),
    _notifications_option(
        "Notifications: Dispatch Timeout",
        "The time limit for sending one notification.",
        Duration(),
        env="CODER_NOTIFICATIONS_DISPATCH_TIMEOUT",
        default="1m0s",
    ),
    *OLD_EMAIL_OPTIONS,
    Option(
        "Notifications: Webhook: Endpoint",
        "The URL that receives notifications as JSON by POST, for the method webhook.",
        URL(),
        env="CODER_NOTIFICATIONS_WEBHOOK_ENDPOINT",
        group=WEBHOOK,
    ),
    Option(
        "Notifications: Inbox: Enabled",
        "Also show notifications in the dashboard's inbox.",
        Bool(),
        env="CODER_NOTIFICATIONS_INBOX_ENABLED",
        default="true",
        group=INBOX,
    ),
    _notifications_option(
        "Notifications: Max Send Attempts",
        "The number of attempts to send a notification.",
        Integer(),
        env="CODER_NOTIFICATIONS_MAX_SEND_ATTEMPTS",
        default="5",
    ),
    _notifications_option(
        "Notifications: Retry Interval",
        "The time between two attempts to send a notification.",
        Duration(),
        env="CODER_NOTIFICATIONS_RETRY_INTERVAL",
        default="5m0s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Store Sync Interval",
        "How often results of sending are written to the database. A longer interval makes fewer "
        "writes, and more duplicates after a crash.",
        Duration(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_INTERVAL",
        json_path="notifications.sync_interval",
        default="2s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Store Sync Buffer Size",
        "How many results of sending are buffered before sending waits for the database.",
        Integer(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_BUFFER_SIZE",
        json_path="notifications.sync_buffer_size",
        default="50",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Period",
        "How long a server reserves the notifications that it is about to send. After this, other "
        "servers can send them.",
        Duration(),
        env="CODER_NOTIFICATIONS_LEASE_PERIOD",
        default="2m0s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Count",
        "How many notifications a server reserves at a time.",
        Integer(),
        env="CODER_NOTIFICATIONS_LEASE_COUNT",
        default="20",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Fetch Interval",
        "How often new notifications are fetched from the database.",
        Duration(),
        env="CODER_NOTIFICATIONS_FETCH_INTERVAL",
        default="15s",
        hidden=True,
    ),
)
