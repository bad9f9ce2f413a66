"""Marks reports as noise: reports that no site can cause, such as reports about extensions.

Noise rules are database rows, and operators can edit them. A report that is noise is stored and
counted like any other report, but it is hidden. So a rule can be tried on stored reports, and if a
rule is disabled, its reports become visible again.
"""
