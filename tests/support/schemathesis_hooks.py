"""What the request generator has to be told of our media types."""

from __future__ import annotations

import schemathesis

schemathesis.serializer.alias("application/csp-report", "application/json")
