"""Tokens: the keys of users, the token policy, and the identity of each request.

The session token of a key is `<id>-<secret>`. The database stores only a digest of the secret.
Signing in creates a session key. A request to the API creates a token. The modules:

* `verification` finds out who is asking. It looks up a key with one query and caches the result.
  Database triggers notify every process of relevant changes, and the process then evicts the key
  from its cache. A process that does not receive notifications does not use its cache, because it
  may contain revoked keys.
* `policy` resolves and changes the limits on a user's tokens. `minting` creates tokens within them.
* `signin` checks passwords and ends sessions. `services` creates and revokes keys.
* `jobs` sends mails before tokens expire, and deletes expired keys.
* `pages` contains the web pages for users, for example the sign-in page.

Keys are not JWTs, because revoking one must take effect at once. OAuth applications, external
authentication and workspace keys belong to Coder and are not part of this service.
"""
