"""Advises an operator how to handle a violation group: which setting to change, or why not to.

The modules are pure: they take strings and return values, without a database. `policy` parses a
policy and decides what it allows, by the algorithms of CSP Level 3. `suggestion` turns what a
browser blocked into an entry for the policy of the site, with the risk of that entry, and adds an
entry to a policy. `refusals` explains why some sources, such as inline code, have no entry.
`composition` makes a policy that is safe to copy, and finds the weaknesses of a policy.
"""
