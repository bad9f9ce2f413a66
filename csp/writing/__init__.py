"""Writes reports into the database, many requests' reports in one transaction.

`entries` makes a scrubbed report ready, with its group (`grouping`) and keyed hashes for its reach.
`writer` is the process's one thread, which gathers what waits. `store` commits a batch by one call
of `csp_write_batch`, which the migration explains, and settles commits without an answer. `reach`
keeps estimates of what outgrows exact counts.
"""
