"""The audit trail: the actor, action, target, time, client address and request of every change.

A service that changes data calls `services.record` in the same transaction. So the change and its
audit entry are committed together or not at all. An entry contains the values before and after the
change, but no secret. It stores the user's id and name without a foreign key, so the entry remains
after the user is deleted.

A database trigger rejects updates and deletions of entries. The table has partitions of 30 days. A
partition is dropped when it is older than CODER_AUDIT_LOGS_RETENTION. The command
`export_audit` and the admin can export the trail as JSON lines.

Known limit: the owner of the database can disable the trigger that protects the entries. To protect
the trail from that account, export it to another system.
"""
