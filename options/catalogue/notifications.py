"""Notifications to people about events."""

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
        "How notifications are sent when their kind does not say: smtp or webhook.",
        Text(),
        env="CODER_NOTIFICATIONS_METHOD",
        default="smtp",
    ),
    _notifications_option(
        "Notifications: Dispatch Timeout",
        "How long the sending of one notification may take before it counts as failed.",
        Duration(),
        env="CODER_NOTIFICATIONS_DISPATCH_TIMEOUT",
        default="1m0s",
    ),
    *OLD_EMAIL_OPTIONS,
    Option(
        "Notifications: Webhook: Endpoint",
        "Where notifications are posted to as JSON when they go by webhook.",
        URL(),
        env="CODER_NOTIFICATIONS_WEBHOOK_ENDPOINT",
        group=WEBHOOK,
    ),
    Option(
        "Notifications: Inbox: Enabled",
        "Show notifications in the dashboard's inbox too.",
        Bool(),
        env="CODER_NOTIFICATIONS_INBOX_ENABLED",
        default="true",
        group=INBOX,
    ),
    _notifications_option(
        "Notifications: Max Send Attempts",
        "How often the sending of one notification is tried before it is given up.",
        Integer(),
        env="CODER_NOTIFICATIONS_MAX_SEND_ATTEMPTS",
        default="5",
    ),
    _notifications_option(
        "Notifications: Retry Interval",
        "How long to wait before a failed notification is tried again.",
        Duration(),
        env="CODER_NOTIFICATIONS_RETRY_INTERVAL",
        default="5m0s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Store Sync Interval",
        "How often results of sending are written to the database. A longer interval means fewer "
        "writes, and more repeats after a crash.",
        Duration(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_INTERVAL",
        json_path="notifications.sync_interval",
        default="2s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Store Sync Buffer Size",
        "How many results of sending are held in memory before sending waits for the database.",
        Integer(),
        env="CODER_NOTIFICATIONS_STORE_SYNC_BUFFER_SIZE",
        json_path="notifications.sync_buffer_size",
        default="50",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Period",
        "For how long one server reserves the notifications that it is about to send. Others take "
        "them over afterwards.",
        Duration(),
        env="CODER_NOTIFICATIONS_LEASE_PERIOD",
        default="2m0s",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Lease Count",
        "How many notifications one server reserves at once.",
        Integer(),
        env="CODER_NOTIFICATIONS_LEASE_COUNT",
        default="20",
        hidden=True,
    ),
    _notifications_option(
        "Notifications: Fetch Interval",
        "How often the database is asked for notifications to send.",
        Duration(),
        env="CODER_NOTIFICATIONS_FETCH_INTERVAL",
        default="15s",
        hidden=True,
    ),
)
