"""The database as a whole: its migrations and its connections.

`checks` finds out whether this release can use it. `migrating` brings it up to date, one process at
a time. `capacity` divides the connections that PostgreSQL allows.
"""
