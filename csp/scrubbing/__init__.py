"""Removes private data from a report before it is written.

`encodings` decodes escapes. `masking` replaces secrets in any string. `address` and `free_text`
scrub URLs. `coder_addresses` replaces the names of users and workspaces in URLs of Coder's pages
and applications. `reports` scrubs each member of a report with these modules. `leak_search` checks
a stored value with a separate set of rules.
"""
