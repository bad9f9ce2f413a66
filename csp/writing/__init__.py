"""Writes reports to the database. One transaction writes the reports of many requests.

`entries` scrubs a report and adds its group (`grouping`) and the keyed hashes for its reach.
`writer` runs the thread that collects waiting reports into batches. `store` commits a batch with
one call of the SQL function `csp_write_batch` (see the migration). If the connection is lost during
a commit, `store` checks whether the batch was committed. `group_limit` limits the number of new
groups. `reach` counts the distinct pages, browsers, days and clients of each group, and estimates
large numbers.
"""
