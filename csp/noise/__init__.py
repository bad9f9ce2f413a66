"""Labels noise: reports that no site can cause, such as reports about extensions.

Noise rules are database rows, and operators can edit them. A rule may belong to one site. The first
rule that matches a report on arrival is the label of its group (`rules`). A labelled report is
stored and counted like any other report. Its group is hidden while the rule is enabled. So enabling
or disabling a rule changes no report. `stored` reads the rules, and tries a new rule on stored
reports.
"""
