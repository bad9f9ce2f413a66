"""Build info, configuration, SSH settings and update check of the deployment.

`selectors` returns the answers that depend on settings and one row: `GET /buildinfo`, with an id
and a web-push key that the first call creates, and `GET /deployment/ssh`. `GET /deployment/config`
returns Coder's options as `options` renders them, in both wire formats and without secrets.
`schema` describes them in the OpenAPI document, from the same catalogue.

`history` records the options at startup if they differ from the newest revision. A revision holds
no secret, only a keyed digest of it. The admin and `manage.py config_history` compare revisions.
They also show which servers run which revision, so that a server that missed a change is visible.

`updatecheck` requests the newest release from its source once a day, with a deadline, and stores
it. `GET /updatecheck` only reads that row. Without a connection to the source, the check is offline
and retried every hour.

Known limits: a changed option takes effect after a restart, as in Coder's own server, and options
cannot be changed here. The update check does not install releases.
"""
