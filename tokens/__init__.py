"""Tokens: the keys that people hold, the policy for them, and finding out who sends a request.

A key is `<id>-<secret>`. Signing in makes a session key, a request makes a token; of both only a
digest of the secret is stored. The way of a request:

* `extraction` finds the token, `middleware` attaches whose it is, `refusals` words the answer to
  one that does not count. The middleware decides nothing else: views ask `users.permissions`.
* `verification` looks a key up with one query; `memory` keeps what it found. The tables' triggers
  announce each change that matters, and every process then forgets the key. A process that hears
  of no changes remembers nothing, so that a revoked key never outlives its announcement.
* `policy` resolves the five limits on a user's tokens, `configs` changes the rules and finds the
  tokens that a new rule would break, `minting` makes tokens within them.
* `signin` takes passwords. `services` makes and ends keys of both kinds, `digest` mails people
  before their tokens end. `pages` are a person's own, for a browser.

A key is no JWT, on purpose: it must end the moment somebody revokes it. OAuth applications,
external authentication and keys for workspaces are not here: they belong to Coder itself.
"""
