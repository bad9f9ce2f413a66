"""The names of headers that only Coder and coderapi use. No other module spells them."""

from __future__ import annotations

# Coder's.
SESSION_TOKEN = "Coder-Session-Token"  # noqa: S105 - the name of a header
REQUEST_ID = "X-Coder-Request-Id"
BUILD_VERSION = "X-Coder-Build-Version"
BYPASS_RATE_LIMIT = "X-Coder-Bypass-Ratelimit"
RATE_LIMIT = "X-RateLimit-Limit"
RATE_LIMIT_REMAINING = "X-RateLimit-Remaining"
RATE_LIMIT_RESET = "X-RateLimit-Reset"

# coderapi's own.
WIRE_FORMAT = "Coderapi-Wire-Format"
# The version of coderapi, if BUILD_VERSION is the version of a Coder deployment.
VERSION = "Coderapi-Version"
# The time at which the caller's key expires. Sent only if it is soon.
KEY_EXPIRES = "Coderapi-Key-Expires"
