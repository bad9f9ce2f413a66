"""The audit trail: who did what, to whom, when, from which address and in which request.

Whoever changes something calls `services.record` within the same transaction: the change and its
entry are committed together or not at all. An entry holds the values before and after, and never a
secret. It names users by value, so that it outlives them.

The table is partitioned by 30 days. PostgreSQL refuses to update or delete an entry; entries go
when their whole partition is older than CODER_AUDIT_LOGS_RETENTION. `export_audit` and the admin
write the trail as JSON lines.

What it does not do: it does not protect against the owner of the database, who can switch the
trigger off. A trail that must withstand that person belongs in another system, fed by the export.
"""
