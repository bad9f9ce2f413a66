"""Information about the deployment: build info, configuration, SSH settings and update check.

* `selectors` builds the responses of `GET /buildinfo` and `GET /deployment/ssh`. The build info
  contains the deployment's id and web-push key. The first call creates them.
* `GET /deployment/config` returns Coder's options, without secrets. The app `options` renders them
  in both wire formats. `schema` describes them in the OpenAPI document.
* `history` records the options at startup if they have changed. A record is called a revision. It
  contains a keyed digest instead of each secret. The admin and `list_config_revisions` compare
  revisions. They also show the revision that each server runs. For example, a server that was not
  restarted after a change still runs the previous revision.
* `updatecheck` requests the newest release of Coder once a day, with a deadline, and stores it.
  `GET /updatecheck` returns the stored release. If the request fails, it is retried every hour.
* `own_releases` reads the feed of coderapi's own releases once a day, if one is configured.

Known limits: a changed option takes effect after a restart, as in Coder's own server. Options
cannot be changed through the API. The update check does not install releases.
"""
