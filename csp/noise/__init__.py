"""Marks reports as noise: reports that no site can cause, such as reports about extensions.

Noise rules are database rows, and operators can edit them. A report that is noise is stored and
counted like any other report, but it is hidden. So a rule can be tested on stored reports, and if a
rule is disabled, the reports that it has marked become visible again.
"""
