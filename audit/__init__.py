"""The audit trail: actor, action, target, time, client address and request of every change.

A service that changes something calls `services.record` in the same transaction, so the change and
its entry are committed together or not at all. An entry holds the values before and after, and no
secret. It stores users by value, so it outlives them.

The table has partitions of 30 days. PostgreSQL rejects updates and deletions of entries. A
partition is dropped when it is older than CODER_AUDIT_LOGS_RETENTION. `export_audit` and the admin
export the trail as JSON lines.

Known limit: the owner of the database can disable the trigger that protects the entries. To protect
the trail from that account, export it to another system.
"""
