"""Removes private parts from a report before it is written.

`encodings` decodes escapes. `masking` finds secrets in any text. `uris` and `free_text` scrub
addresses, with `coder_addresses` for the names in Coder's pages and application hosts. `reports`
applies them to the members of a report. `audit` checks stored texts by rules of its own.
"""
