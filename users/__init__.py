"""Users: who exists, what each may do, and how far a key narrows that.

A request reaches a view with an identity: the user's roles, and the scopes and allow list of the
key in hand. `permissions` decides from these. Roles say what a user may do at all, scopes which
kinds of action the key keeps of that, the allow list on which objects. Each can only take away.

* `models`, `names`: accounts, and the names and e-mail addresses that they may have.
* `roles`, `scopes`, `allow_lists`, `permissions`: rights. `/authcheck` and the views ask the same
  function, so that a dashboard is never told something else than what happens.
* `services`, `selectors`: changes and look-ups. No change may take away the last active owner.
* `passwords`, `backends`: what a password may be, and signing in to the admin with one.
* `erasure`: forgetting a person. Each app registers what it holds.

There is one organization and everybody is in it: Coder's clients ask for it. Groups, custom roles,
and sign-in through GitHub or OpenID Connect are not here: Coder itself has them, and a service that
stands beside a Coder can let it say who a token belongs to.
"""
