"""Users: accounts, their permissions, and how a key narrows these.

A view gets a request with an identity: the user's roles, and the scopes and allow list of the key.
`permissions` decides from these. Roles say what a user may do, scopes which actions the key keeps,
the allow list on which objects. Scopes and allow list only ever narrow the roles.

* `models`, `names`: accounts, and the normal form of usernames and e-mail addresses.
* `roles`, `scopes`, `allow_lists`, `permissions`: permissions. `/authcheck` and the views call the
  same function, so their answers agree.
* `services`, `selectors`: changes and queries. No change can remove the last active owner.
* `passwords`: validating and hashing passwords.
* `erasure`: deleting and erasing users. Each app registers the data that it stores about a user.

There is one organization, with every user as a member, because Coder's clients ask for it. Groups,
custom roles, and sign-in through GitHub or OpenID Connect belong to Coder. A service beside a Coder
deployment can let it verify tokens.
"""
