"""The SQL of a batch; what it does stands in the migration that makes `csp_write_batch`."""

from __future__ import annotations

from kernel.db.connections import lock_number

# Batches share this lock, a change of rules has it alone: so a group's noise is always that of the
# rules that are enabled.
RULES_LOCK = lock_number("csp noise rules")

RULES_VERSION = "SELECT csp_rules_version()"

ENABLED_RULES = "SELECT id, name, target, pattern FROM csp_noiserule WHERE enabled ORDER BY id"

WRITE_BATCH = """
SELECT verdict, outgrown FROM csp_write_batch(
    %s::uuid, %s, %s, %s, %s::json, %s::json, %s::json, %s::json, %s::json)
"""
