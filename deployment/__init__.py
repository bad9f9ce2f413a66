"""Deployment: what this deployment is, how it is configured, and whether Coder has a newer release.

`selectors` has the answers that follow from settings and one row: `GET /buildinfo`, with an id and
a web-push key that the first call makes, and `GET /deployment/ssh`. `GET /deployment/config` shows
Coder's options as `options` renders them, in both wire forms and without secrets; `schema`
describes them in the OpenAPI document from the same catalogue.

`history` records the options of each start when they differ from the newest revision, as a snapshot
that holds no secret but a keyed digest of it. The admin and `manage.py config_history` compare two
revisions, and tell which servers run with which one now, so that a server that missed a change is
seen.

`updatecheck` asks the release source once a day, within one deadline, and keeps the newest release.
Requests only read that row.

Not done: a change of an option takes a restart, as with Coder's own server, and nothing here can
change one. The update check does not install anything.
"""
