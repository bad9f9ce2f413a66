"""Lets operators work on violation groups: states, notes, and the API for them.

A group is new, acknowledged, ignored, resolved or regressed. `states` computes the current state,
and `decisions` stores decisions. `selectors` queries groups, `newest` reads their newest reports,
`details` has the facets and the advice of a group, and `views` has the API. `overview`, `policies`
and `releases` are for pages of the admin, and `changes` for alerts. `versions` finds the groups
that are new in a version, and `gate` decides whether a pipeline may go on.
"""
