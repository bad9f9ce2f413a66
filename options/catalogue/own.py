"""The settings of coderapi, which Coder's server does not have.

Only environment variables can set these settings. `.env.example` lists them, and
`coderapi options` shows them in a separate table. They are not part of GET /deployment/config, of
the flags' help or of docs/options.md, which describe Coder's options only.
"""

from __future__ import annotations

from typing import Any

from kernel.coder_releases import CATALOGUE as CATALOGUE_RELEASE
from options.option import Option
from options.values.base import ValueType
from options.values.lists import TextList
from options.values.rules import (
    LISTENER,
    MOUNT_PATH,
    NETWORK,
    POSTGRES_URL,
    REDIS_URL,
    SECRET,
    SEMANTIC_VERSION,
    SESSION_TOKEN,
    one_of,
)
from options.values.scalars import Duration, Integer, Text
from options.values.urls import URL


def _own(
    env: str,
    description: str,
    value_type: ValueType[Any],
    *,
    default: str = "",
    secret: bool = False,
) -> Option:
    return Option(
        env,
        description,
        value_type,
        env=env,
        flag="",
        json_path=env,
        default=default,
        secret=secret,
        obeyed=True,
        own=True,
    )


OWN_OPTIONS = (
    _own(
        "DATABASE_URL",
        "The URL of the PostgreSQL database (versions 15 to 18). If neither this variable nor "
        "CODER_PG_CONNECTION_URL is set, a private PostgreSQL server runs in the data directory.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_PG_DIRECT_URL",
        "The URL of the same database for direct connections, if DATABASE_URL leads to PgBouncer. "
        "LISTEN, advisory locks and migrations need direct connections.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_DATA_DIR",
        "The directory for the private database and generated secrets. For root, the default is "
        "/var/lib/coderapi. For other users, the default is in the user's data directory, such as "
        "~/.local/share/coderapi.",
        Text(),
    ),
    _own(
        "CODERAPI_ENV_FILE",
        "The path of a file with NAME=value lines, such as a copy of .env.example. `coderapi` "
        "reads the file first. Environment variables override the values in the file.",
        Text(),
    ),
    _own(
        "CODERAPI_SECRET_KEY",
        "Django's SECRET_KEY: at least 50 random characters. It is required if you use your own "
        "database. With a private database, a key is generated in the data directory.",
        Text(SECRET),
        secret=True,
    ),
    _own(
        "CODERAPI_HTTP_ADDRESS",
        "The address and port for HTTP. Overrides CODER_HTTP_ADDRESS, so that coderapi can run in "
        "the environment of Coder's server on another port.",
        Text(LISTENER),
    ),
    _own(
        "CODERAPI_CODER_VERSION",
        "The Coder release that this service reports to clients. CSP reports and snapshots of the "
        "stats also contain it. With CODERAPI_CODER_URL, they contain the release of that Coder.",
        Text(SEMANTIC_VERSION),
        default=CATALOGUE_RELEASE,
    ),
    _own(
        "CODERAPI_WIRE",
        "The wire format of responses: documented (as in Coder's API reference) or coderd (as "
        "Coder's own clients expect).",
        Text(one_of("documented", "coderd")),
        default="documented",
    ),
    _own(
        "CODERAPI_FIRST_OWNER_USERNAME",
        "The username of the first owner. The first start creates this user. If it is not set, the "
        "first caller of POST /api/v2/users/first becomes the owner. It is ignored with "
        "CODERAPI_IDENTITY=coder.",
        Text(),
    ),
    _own("CODERAPI_FIRST_OWNER_EMAIL", "The first owner's e-mail address.", Text()),
    _own(
        "CODERAPI_FIRST_OWNER_PASSWORD",
        "The first owner's password. If it is not set, a password is generated and shown once.",
        Text(),
        secret=True,
    ),
    _own(
        "CODERAPI_ALLOWED_HOSTS",
        "The host names that are allowed in the Host header, separated by commas. The default is "
        "the host of the access URL, the hosts of the wildcard access URL, and localhost. If the "
        "access URL is not set, every host is allowed.",
        TextList(),
    ),
    _own(
        "CACHE_URL",
        "The URL of a Redis-compatible server that counts requests for the rate limits. Set it if "
        "servers run on several hosts, so that they share the counts.",
        Text(REDIS_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_ACCESS_LOG",
        "The file for the access log, such as /dev/stdout. If it is not set, no access log is "
        "written. The access log contains no query strings and no tokens.",
        Text(),
    ),
    _own(
        "CODERAPI_ACCESS_LOG_FORMAT",
        "The format of the access log: common (the common log format, plus the duration in "
        "milliseconds and the request id) or json.",
        Text(one_of("common", "json")),
        default="common",
    ),
    _own(
        "CODERAPI_WEB_WORKERS",
        "The number of web processes. The default is the number of CPU cores, but at most 8.",
        Integer(1, 64),
    ),
    _own(
        "CODERAPI_WEB_THREADS",
        "The number of threads of each web process that run Django. Sign-ins have two more threads."
        " Cached documents and CSP reports need no thread.",
        Integer(4, 512),
        default="8",
    ),
    _own(
        "CODERAPI_SHUTDOWN_DELAY",
        "How long the server continues to serve requests after it was told to stop. During this "
        "time, /readyz returns 503. Behind a load balancer, set it to the time until the load "
        "balancer has noticed this.",
        Duration(signed=False),
        default="0s",
    ),
    _own(
        "CODERAPI_UPDATE_CHECK_URL",
        "The URL that returns Coder's newest release, for the daily update check.",
        URL(("http", "https")),
        default="https://api.github.com/repos/coder/coder/releases/latest",
        secret=True,  # A mirror's URL may contain a password or token.
    ),
    _own(
        "CODERAPI_CSP_ACCESS",
        "Which requests may send CSP reports: requests with a session token or an ingest key "
        "(authenticated), only requests with an ingest key (ingest-key), or all requests "
        "(public). The default is authenticated in the documented wire format, and public in the "
        "coderd wire format. Firefox sends reports to report-uri without cookies, so they have no "
        "session token.",
        Text(one_of("authenticated", "ingest-key", "public")),
    ),
    _own(
        "CODERAPI_CSP_RATE_LIMIT",
        "The maximum number of CSP reports per minute for each user or IP address. A request body "
        "counts as at least one report for each 2 KiB. CSP reports do not count against the API's "
        "rate limit. "
        "0 means no limit. If the API's rate limit is disabled, this limit is disabled too.",
        Integer(0, 1_000_000),
        default="6000",
    ),
    _own(
        "CODERAPI_CSP_RETENTION",
        "How long CSP reports are kept. 0 keeps them forever.",
        Duration(signed=False),
        default="90d",
    ),
    _own(
        "CODERAPI_CSP_MAX_DISK_MIB",
        "The maximum disk space of stored CSP reports, in MiB. Above it, the oldest days are "
        "dropped, and new reports are counted but not stored. 0 means no limit.",
        Integer(0, 1_000_000_000),
        default="10240",
    ),
    _own(
        "CODERAPI_OUTGOING_NETWORKS",
        "Internal IP addresses or networks that alerts may be sent to, such as 10.1.2.3. Without "
        "it, webhooks can reach only addresses on the public internet.",
        TextList(NETWORK),
    ),
    _own(
        "CODERAPI_STATS_RAW_RETENTION",
        "How long the stats rows of agents are kept after the end of their hour. 0 keeps them "
        "forever.",
        Duration(signed=False),
        default="24h",
    ),
    _own(
        "CODERAPI_STATS_RETENTION",
        "How long snapshots of the stats and hourly rollups are kept. 0 keeps them forever.",
        Duration(signed=False),
        default="400d",
    ),
    _own(
        "CODERAPI_STATS_P95_ALARM_MS",
        "An alarm is raised if the 95th percentile of connection latency, in milliseconds, exceeds "
        "this value. 0 disables the alarm.",
        Integer(0, 999_999_999),
        default="0",
    ),
    _own(
        "CODERAPI_STATS_APP_ALARMS",
        "Applications, such as cursor. An alarm is raised if one of them has no session for ten "
        "snapshots while other applications have sessions.",
        TextList(),
    ),
    _own(
        "CODERAPI_IDENTITY",
        "The session tokens that are accepted: only the tokens of coderapi (own), or also those "
        "of the Coder deployment at CODERAPI_CODER_URL, which then manages the users (coder).",
        Text(one_of("own", "coder")),
        default="own",
    ),
    _own(
        "CODERAPI_CODER_URL",
        "The URL of the Coder deployment that coderapi runs beside, such as http://127.0.0.1:3000. "
        "coderapi sends requests to this URL, so it can be an internal one.",
        URL(("http", "https")),
    ),
    _own(
        "CODERAPI_ADMIN_PATH",
        "The path of the admin and of coderapi's other pages, such as /coderapi/. Set it if a "
        "Coder deployment uses the same host name.",
        Text(MOUNT_PATH),
        default="/",
    ),
    _own(
        "CODERAPI_CONFIG_SOURCE",
        "The source of the configuration, build info, experiments, SSH settings and update "
        "check: the options of coderapi (own), or the Coder deployment at CODERAPI_CODER_URL "
        "(coder).",
        Text(one_of("own", "coder")),
        default="own",
    ),
    _own(
        "CODERAPI_CODER_DATABASE_URL",
        "The URL of the Coder deployment's PostgreSQL database, with a role that can only read. "
        "If it is set, coderapi reads the rows of agents and the states of workspaces from it.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_CODER_TOKEN",
        "A session token of an owner in the Coder deployment. coderapi uses it to apply the token "
        "policy, and for callers whose own token Coder does not accept.",
        Text(SESSION_TOKEN),
        secret=True,
    ),
    _own(
        "CODERAPI_CODER_TOKEN_POLICY",
        "The action on tokens of the Coder deployment that violate the token policy: nothing "
        "(off), list them in the admin (report), or also expire them (enforce).",
        Text(one_of("off", "report", "enforce")),
        default="off",
    ),
)
