"""Workspaces that are made ahead of need."""

from __future__ import annotations

from options.catalogue.groups import WORKSPACE_PREBUILDS
from options.option import Option
from options.values import Duration, Integer

PREBUILDS_OPTIONS = (
    Option(
        name="Reconciliation Interval",
        description=(
            "How often the number of ready-made workspaces is brought back to what templates ask "
            "for."
        ),
        type=Duration(),
        json_path="workspace_prebuilds.reconciliation_interval",
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_INTERVAL",
        flag="workspace-prebuilds-reconciliation-interval",
        yaml="reconciliation_interval",
        default="1m0s",
        group=WORKSPACE_PREBUILDS,
    ),
    Option(
        name="Reconciliation Backoff Interval",
        description=(
            "By how much longer to wait after each failed attempt to make a workspace ahead of "
            "need."
        ),
        type=Duration(),
        json_path="workspace_prebuilds.reconciliation_backoff_interval",
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_INTERVAL",
        flag="workspace-prebuilds-reconciliation-backoff-interval",
        yaml="reconciliation_backoff_interval",
        default="1m0s",
        group=WORKSPACE_PREBUILDS,
        hidden=True,
    ),
    Option(
        name="Reconciliation Backoff Lookback Period",
        description="How far back failed attempts are counted when that wait is worked out.",
        type=Duration(),
        json_path="workspace_prebuilds.reconciliation_backoff_lookback",
        env="CODER_WORKSPACE_PREBUILDS_RECONCILIATION_BACKOFF_LOOKBACK_PERIOD",
        flag="workspace-prebuilds-reconciliation-backoff-lookback-period",
        yaml="reconciliation_backoff_lookback_period",
        default="1h0m0s",
        group=WORKSPACE_PREBUILDS,
        hidden=True,
    ),
    Option(
        name="Failure Hard Limit",
        description=(
            "After how many failures in a row a preset makes no more workspaces ahead of need. "
            "Zero never stops."
        ),
        type=Integer(),
        json_path="workspace_prebuilds.failure_hard_limit",
        env="CODER_WORKSPACE_PREBUILDS_FAILURE_HARD_LIMIT",
        flag="workspace-prebuilds-failure-hard-limit",
        yaml="failure_hard_limit",
        default="3",
        group=WORKSPACE_PREBUILDS,
        hidden=True,
    ),
)
