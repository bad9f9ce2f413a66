"""Writes reports to the database. One transaction writes the reports of many requests.

`entries` scrubs a report and adds its group (`grouping`), which belongs to a site (`sites`), and
the keyed hashes for its reach. `client_hashes` hashes the sender. `writer` runs the thread that
collects waiting reports into batches. `store` commits a batch with one statement (`batch`). If the
connection is lost during a commit, `store` checks whether the batch was committed. `group_limit`
limits the number of new groups. `reach` estimates large numbers of distinct pages and clients of a
group.
"""
