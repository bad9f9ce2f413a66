"""Token policies: the limits on the tokens of a user, of users with a role, or of all users.

`resolution` resolves the limits of a user. `changes` saves policies, and finds the live tokens that
violate them. `forms` has the form of a policy.
"""
