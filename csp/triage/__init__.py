"""The work of operators on violation groups: states, notes, and the API for them.

A group is new, acknowledged, ignored or resolved. `states` has the table of transitions and derives
the state that a group has now, `changes` stores what an operator decides, and `views` has the API.
"""
