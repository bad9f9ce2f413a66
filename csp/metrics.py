"""Prometheus metrics of report collection."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

RECEIVED_REPORTS = Counter(
    "coderapi_csp_received_reports",
    "Reports that were received from browsers, by outcome.",
    ["outcome"],
)
REJECTED_REQUESTS = Counter(
    "coderapi_csp_rejected_requests", "Rejected requests with CSP reports.", ["reason"]
)
OTHER_REPORTS = Counter(
    "coderapi_csp_other_reports", "Reports of browsers that are not about a CSP, by type.", ["type"]
)
NOISE_REPORTS = Counter(
    "coderapi_csp_noise_reports",
    "CSP reports that an enabled noise rule matched.",
    ["noise_rule"],
)
BATCH_REPORTS = Histogram(
    "coderapi_csp_batch_reports",
    "The number of CSP reports written in one commit.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000),
)
COMMIT_DURATION = Histogram(
    "coderapi_csp_commit_duration_seconds",
    "The duration of the transaction that writes a batch of CSP reports.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
