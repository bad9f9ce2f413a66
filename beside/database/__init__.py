"""Reads agent rows and workspaces from the database of a Coder deployment.

`connection` runs read-only queries. `follower` reads what is new since its last run, and `history`
reads everything that the database still has.

Rows are found by their keys first: `created_at` and `id` of an agent row, and the number of a
workspace's newest build. Then only rows that are not stored yet are read whole. This takes a third
of the time in Coder's database.
"""
