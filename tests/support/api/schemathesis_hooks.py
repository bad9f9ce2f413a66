"""Tells Schemathesis which requests to leave out, and which rejections no schema can express."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

schemathesis.serializer.alias("application/csp-report", "application/json")

# Rules about stored objects, about two members of one request, or about the time.
NOT_IN_A_SCHEMA = (
    "must be an existing uuid or username",
    "You cannot ",
    "not your current password",
    "is neither a UUID nor *",
    # A service account has no password. Any other user needs one.
    '{"field":"password","detail":"This field is required."}',
    "Enter your current password",
    "A service account cannot have",
    "Must be the cursor of the previous page",
    "must be before until",
    "must be newer than",
    "Must be in the future",
    "the end of the retention",
    "; the limit is ",
    # Coder's own document requires no member of a report.
    '{"field":"csp-report","detail":"must be an object"}',
    "The lifetime is too long",
    "is longer than 292 years",
    "is not an origin",
    # JSON Schema accepts 5.0 as an integer. Go does not.
    "A valid integer is required",
    "is not a whole number",
    "lifetime is in nanoseconds",
    # A pattern of invisible characters would be very long.
    "invisible characters",
    # The introduction says that no string may contain NUL.
    "Null characters are not allowed",
    "must not contain NUL",
    "must be a multiple of ",
    "must be whole minutes",
    # Versions that look like secrets.
    "must be a version such as",
    "No report",
    "too common",
    " already.",
    "Must be the username of an active owner or auditor",
    "Only an ignored group",
)
# Browsers send what they like: a member of the wrong type is ignored.
LENIENT = "report-csp-violations"


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leaves out requests that end the session of all others."""
    return bool((case.path_parameters or {}).get("key_id") != os.environ["OWN_KEY_ID"])


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Returns whether the failure is one."""
    text = response.text
    if type(failure).__name__ == "RejectedPositiveData":
        return not any(each in text for each in NOT_IN_A_SCHEMA)
    if type(failure).__name__ == "AcceptedNegativeData":
        operation = case.operation.definition.raw["operationId"]
        return operation != LENIENT and '"rejections":[{' not in text
    return True
