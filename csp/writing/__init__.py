"""Writes reports to the database, those of many requests in one transaction.

`entries` prepares a scrubbed report, with its group (`grouping`) and keyed hashes for its reach.
`writer` is a thread that collects waiting reports. `store` commits a batch with one call of
`csp_write_batch`, which the migration explains, and finds out about commits without an answer.
`group_limit` bounds new groups. `reach` estimates numbers that are too large for exact counts.
"""
