"""The settings of coderapi, which Coder's server does not have.

Only environment variables set them. `.env.example` lists them, and `manage.py options` shows them
in a separate table. The answers, help and documents about Coder's options do not contain them.
"""

from __future__ import annotations

from typing import Any

from options.option import Option
from options.values import URL, Bool, Duration, Integer, Text, TextList, ValueType
from options.values.rules import LISTENER, POSTGRES_URL, REDIS_URL, SEMANTIC_VERSION, one_of


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
        "The URL of the PostgreSQL database (versions 15 to 18). Without it and "
        "CODER_PG_CONNECTION_URL, a private PostgreSQL runs in the data directory.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_PG_DIRECT_URL",
        "The URL of the same database without PgBouncer, for LISTEN, advisory locks and "
        "migrations.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_DATA_DIR",
        "The directory for the private database and generated secrets. The default is "
        "/var/lib/coderapi for root, and coderapi in the user's data directory for others, such as "
        "~/.local/share/coderapi.",
        Text(),
    ),
    _own(
        "CODERAPI_ENV_FILE",
        "A file with NAME=value lines, such as this one. `manage.py` reads it before anything "
        "else. Environment variables override it.",
        Text(),
    ),
    _own(
        "CODERAPI_SECRET_KEY",
        "Django's SECRET_KEY: at least 50 random characters. With a private database it is "
        "generated in the data directory. With your own database it is required.",
        Text(),
        secret=True,
    ),
    _own(
        "CODERAPI_HTTP_ADDRESS",
        "The address and port for HTTP. It overrides CODER_HTTP_ADDRESS, for hosts with Coder's "
        "environment.",
        Text(LISTENER),
    ),
    _own(
        "CODERAPI_CODER_VERSION",
        "The Coder release whose API this service implements.",
        Text(SEMANTIC_VERSION),
        default="2.29.0",
    ),
    _own(
        "CODERAPI_WIRE",
        "The wire format: documented (as on the reference page) or coderd (as Coder's own clients "
        "expect).",
        Text(one_of("documented", "coderd")),
        default="documented",
    ),
    _own(
        "CODERAPI_FIRST_OWNER_USERNAME",
        "The username of the first owner, created at the first start. Without it, the first caller "
        "of POST /api/v2/users/first becomes the owner.",
        Text(),
    ),
    _own("CODERAPI_FIRST_OWNER_EMAIL", "The first owner's e-mail address.", Text()),
    _own(
        "CODERAPI_FIRST_OWNER_PASSWORD",
        "The first owner's password. Without it, a password is generated and shown once.",
        Text(),
        secret=True,
    ),
    _own(
        "CODERAPI_ALLOWED_HOSTS",
        "The allowed Host names, separated by commas. The default is the hosts of the access URL "
        "and the wildcard, and loopback. Without an access URL every host is allowed.",
        TextList(),
    ),
    _own(
        "CACHE_URL",
        "The URL of a Redis-compatible server that shares rate limits between hosts.",
        Text(REDIS_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_ACCESS_LOG",
        "The file for the access log, such as /dev/stdout. Without it there is no access log. It "
        "contains no queries and no tokens.",
        Text(),
    ),
    _own(
        "CODERAPI_ACCESS_LOG_FORMAT",
        "The format of the access log: common (the common log format, plus milliseconds and "
        "request id) or json.",
        Text(one_of("common", "json")),
        default="common",
    ),
    _own(
        "CODERAPI_WEB_WORKERS",
        "The number of web processes. The default is one for each core, at most 8.",
        Integer(1, 64),
    ),
    _own(
        "CODERAPI_WEB_THREADS",
        "The number of requests that each web process works on at a time. As many further threads "
        "are for requests that wait.",
        Integer(1, 512),
        default="64",
    ),
    _own(
        "CODERAPI_FAST_LANE",
        "Answer documents and CSP reports in front of Django, by the same rules. Disable it to "
        "find out whether an answer changes.",
        Bool(),
        default="true",
    ),
    _own(
        "CODERAPI_UPDATE_CHECK_URL",
        "The URL of Coder's newest release for the daily update check.",
        URL(("http", "https")),
        default="https://api.github.com/repos/coder/coder/releases/latest",
        secret=True,  # A mirror's URL may contain a password or token.
    ),
    _own(
        "CODERAPI_CSP_ACCESS",
        "Who may send CSP reports. The default is authenticated in the documented wire, and public "
        "in the coderd wire.",
        Text(one_of("authenticated", "ingest-key", "public")),
    ),
    _own(
        "CODERAPI_CSP_RATE_LIMIT",
        "The number of CSP reports per minute for each user or address, apart from the API's "
        "limit. 0 means no limit. It has no effect if the API has no limit.",
        Integer(0, 1_000_000),
        default="6000",
    ),
    _own(
        "CODERAPI_CSP_RETENTION",
        "How long reports are kept. 0 keeps them forever.",
        Duration(signed=False),
        default="90d",
    ),
    _own(
        "CODERAPI_STATS_RAW_RETENTION",
        "How long agent rows are kept after their hour. 0 keeps them forever.",
        Duration(signed=False),
        default="24h",
    ),
    _own(
        "CODERAPI_STATS_RETENTION",
        "How long snapshots and hourly rollups are kept. 0 keeps them forever.",
        Duration(signed=False),
        default="400d",
    ),
    _own(
        "CODERAPI_STATS_P95_ALARM_MS",
        "The 95th percentile of connection latency, in milliseconds, that raises an alarm. 0 "
        "disables the alarm.",
        Integer(0, 999_999_999),
        default="0",
    ),
)
