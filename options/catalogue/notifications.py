"""Options for notifications about events."""

from __future__ import annotations

from functools import partial

from options.catalogue.email import OLD_EMAIL_OPTIONS
from options.catalogue.groups import INBOX, NOTIFICATIONS, WEBHOOK
from options.option import Option
from options.values.scalars import Bool, Duration, Integer, Text
from options.values.urls import URL

_notifications_option = partial(Option, group=NOTIFICATIONS)

NOTIFICATIONS_OPTIONS = (
    _notifications_option(
        "Notifications: Method",
        "The default method for sending notifications: smtp or webhook. A notification type can "
        "have another method.",
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
        "The URL that receives notifications if the method is webhook. Each notification is sent "
        "as JSON in a POST request.",
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
        "The maximum number of attempts to send a notification.",
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
        "How often delivery results are written to the database. A longer interval causes fewer "
        "writes, but more notifications are sent twice after a crash.",
        Duration(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_INTERVAL",
        json_path="notifications.sync_interval",
        default="2s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Store Sync Buffer Size",
        "The maximum number of delivery results that are buffered. If the buffer is full, Coder's "
        "server writes the results before it sends more notifications.",
        Integer(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_BUFFER_SIZE",
        json_path="notifications.sync_buffer_size",
        default="50",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Period",
        "How long a server reserves notifications before it sends them. After this time, other "
        "servers can send the notifications.",
        Duration(),
        env="CODER_NOTIFICATIONS_LEASE_PERIOD",
        default="2m0s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Count",
        "The number of notifications that a server reserves at a time.",
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
