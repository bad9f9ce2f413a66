"""Cuts everything private out of a report before it is written.

`uris` and `free_text` take addresses apart, with `coder_addresses` for the names in Coder's own
pages and application hosts. `masking` finds secrets in any text. `reports` says which of them is
used for which member. `audit` reads stored texts by rules of its own, and names each private place.
"""
