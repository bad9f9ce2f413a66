"""Options for prebuilt workspaces, and for AI tasks and chats in the dashboard."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import CHAT, CLIENT, PREBUILDS
from options.option import Option
from options.values.scalars import Bool, Duration, Integer

_prebuilds_option = partial(Option, group=PREBUILDS)
_chat_option = partial(Option, group=CHAT, documented=False)

AI_OPTIONS = (
    _prebuilds_option(
        "Reconciliation Interval",
        "How often Coder's server creates or deletes prebuilt workspaces to reach the numbers that "
        "templates request.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL",
        yaml="reconciliation_interval",
        default="1m0s",
    ),
    _prebuilds_option(
        "Reconciliation Backoff Interval",
        "The additional waiting time after each failed prebuild.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL",
        yaml="reconciliation_backoff_interval",
        default="1m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Reconciliation Backoff Lookback Period",
        "The period in which failed prebuilds are counted for the Reconciliation Backoff Interval.",
        Duration(),
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD",
        yaml="reconciliation_backoff_lookback_period",
        json_path="workspace_prebuilds.reconciliation_backoff_lookback",
        default="1h0m0s",
        hidden=True,
    ),
    _prebuilds_option(
        "Failure Hard Limit",
        "The number of consecutive failures after which no more prebuilds are created for a "
        "preset. 0 means no limit.",
        Integer(),
        env="CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT",
        yaml="failure_hard_limit",
        default="3",
        hidden=True,
    ),
    Option(
        "Hide AI Tasks",
        "Hide the pages for AI tasks in the dashboard.",
        Bool(),
        env="CODER_HIDE_AI_TASKS",
        default="false",
        group=CLIENT,
    ),
    _chat_option(
        "Chat: Acquire Batch Size",
        "The maximum number of waiting chats that a server takes on at a time.",
        Integer(),
        env="CODER_CHAT_ACQUIRE_BATCH_SIZE",
        default="10",
        hidden=True,
    ),
    _chat_option(
        "Chat: Debug Logging Enabled",
        "Record the steps of all chats for debugging. The records may contain users' prompts.",
        Bool(),
        env="CODER_CHAT_DEBUG_LOGGING_ENABLED",
        default="false",
    ),
    _chat_option(
        "Chat: AI Gateway Routing Enabled",
        "Send the AI requests of chats through the AI gateway.",
        Bool(),
        env="CODER_CHAT_AI_GATEWAY_ROUTING_ENABLED",
        yaml="aiGatewayRoutingEnabled",
        default="true",
        hidden=True,
    ),
)
