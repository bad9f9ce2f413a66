"""Tokens: the keys of users, the token policy, and the identity of each request.

A key is `<id>-<secret>`. Signing in creates a session key, a request creates a token. The database
has only a digest of the secret. A request passes these modules:

* `extraction` finds the token and `middleware` attaches the identity or the error of `refusals`.
  The middleware does not check permissions: views use `users.permissions`.
* `verification` looks a key up with one query, and `memory` caches the result. Database triggers
  notify every process of relevant changes, which then evicts the key. A process without a working
  listener does not use its cache, so that a revoked key is not accepted after its notification.
* `policy` resolves the five limits on a user's tokens, `configs` changes policies and finds the
  tokens that violate them, `minting` creates tokens within the limits.
* `signin` checks passwords and ends sessions, `authentication` rejects requests from other sites.
  `services` creates and revokes keys, `digest` mails users before their tokens expire. `pages` are
  the pages of a user.

Keys are not JWTs, because revoking one must take effect at once. OAuth applications, external
authentication and workspace keys belong to Coder and are not part of this service.
"""
