"""Tokens: the keys of users, the token policy, and the identity of each request.

The session token of a key is `<id>-<secret>`. The database stores only a digest of the secret.
Signing in creates a session key. A request to the API creates a token. The modules:

* `extraction` finds the session token in a request. `middleware` attaches the identity to the
  request, or an error from `refusals`. It does not check permissions: views use
  `users.permissions`.
* `verification` looks up a key with one query and caches the result. Database triggers notify every
  process of relevant changes, and the process then evicts the key from its cache. A process that
  does not receive notifications does not use its cache, because it may contain revoked keys.
* `providers` has the other service to which a token may belong, for example a Coder deployment.
* `policy` resolves the five limits on a user's tokens. `policy_changes` changes token policies and
  finds the tokens that violate them. `minting` creates tokens within the limits.
* `signin` checks passwords and ends sessions. `authentication` rejects requests from other sites.
* `services` creates and revokes keys. `digest` sends mails before tokens expire.
* `pages` contains the web pages for users, for example the sign-in page.

Keys are not JWTs, because revoking one must take effect at once. OAuth applications, external
authentication and workspace keys belong to Coder and are not part of this service.
"""
