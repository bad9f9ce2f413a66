"""Labels noise: reports that no site can cause, such as reports about extensions.

Noise rules are database rows, and operators can edit them. A rule may belong to one site. A report
that an enabled rule matches on arrival is noise (`rules`). It is stored and counted apart from the
other reports of its group. A group with only noise is hidden. `stored` reads the rules, tries a new
rule on stored reports, and counts the reports that each rule matched.
"""
