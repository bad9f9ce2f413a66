"""The database as a whole: its migrations, the number of its schema, and its backups.

`checks` finds out whether this release can use it. `migrating` brings it up to date, one process at
a time. `schema` compares its schema with those that this release serves.
"""
