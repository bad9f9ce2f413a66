"""The partitioned table of reports."""

from __future__ import annotations

from datetime import timedelta

from kernel.db.partitions import PartitionedTable

REPORTS = PartitionedTable("csp_report", timedelta(days=1))
