"""Lets the request generator send CSP reports as JSON."""

from __future__ import annotations

import schemathesis

schemathesis.serializer.alias("application/csp-report", "application/json")
