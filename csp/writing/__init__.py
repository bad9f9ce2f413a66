"""Writes reports to the database. One transaction writes the reports of many requests.

`entries` adds to a scrubbed report its site (`terms`), its group, and keyed hashes of its page and
its client, which are counted later. `writer` runs the thread that collects waiting reports into
batches. `store` commits a batch with one statement (`batch`). If the connection is lost during a
commit, `store` checks whether the batch was committed. `group_limit` limits the number of new
groups, `versions` that of new versions, and `disk` the space of stored reports. `distinct`
estimates large numbers of distinct pages and clients of a group.
"""
