"""Users: accounts, roles and permissions.

For example, an auditor may read users and the configuration. If the auditor's key has only the
scope `user:read`, then a request with this key can only read users. If the key's allow list
contains only one user, then the request can only read that user.

The identity of a request contains the user's roles, and the scopes and the allow list of the key.
The roles allow actions. The scopes and the allow list can only restrict them: scopes by action, the
allow list by object.

* `models` and `names`: accounts, and the normal form of usernames and e-mail addresses.
* `permissions` checks actions with `roles`, `scopes` and `allow_lists`. `/authcheck` and the views
  call the same function, so they cannot disagree.
* `services` and `selectors`: changes and queries. No change can remove the last active owner.
* `passwords` validates and hashes passwords.
* `erasure` deletes and erases users. Each app registers the data that it stores about a user.

There is exactly one organization, and every user is a member of it, because Coder's clients request
an organization. Groups, custom roles, and sign-in through GitHub or OpenID Connect are features of
Coder that this service does not have.
"""
