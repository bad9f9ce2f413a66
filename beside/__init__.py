"""Beside Coder: the only package that knows the API and the tables of a Coder deployment.

coderapi can share a host name with a Coder deployment, and use its users, tokens and stats.

* `client` sends the requests to Coder's API. Each path has a circuit breaker.
* `identity` asks Coder who a session token belongs to. `user_copies` stores these users, so that
  token policies can refer to them. `admin_access` opens the admin to sessions of Coder's dashboard.
* `configuration` returns Coder's configuration, version and experiments instead of our own.
  `coder_release` knows the version of Coder.
* `token_policy` applies the token policies to the tokens of Coder, which Coder itself only limits
  in their lifetime.
* `database` reads agent rows and workspaces from Coder's tables, for the stats.
* `checks` examines the setup, for `check_coder` and the home page of the admin (`admin_cards`).

coderapi never writes to Coder's database. Coder announces no changes, so answers are cached for
seconds only.
"""
