"""The settings of this service, which Coder's server does not have.

They are environment variables only, and stand in no answer, help or document of Coder's options.
`.env.example` lists them, and `manage.py options` shows them apart.
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
        "The PostgreSQL database (15 to 18), as a URL. Without it, and without "
        "CODER_PG_CONNECTION_URL, a private PostgreSQL is started under the data directory.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_PG_DIRECT_URL",
        "The same database without PgBouncer in between, for LISTEN, advisory locks and "
        "migrations.",
        Text(POSTGRES_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_DATA_DIR",
        "The directory of the private database and of generated secrets. By default "
        "/var/lib/coderapi for root, else coderapi in the user's data directory, such as "
        "~/.local/share/coderapi.",
        Text(),
    ),
    _own(
        "CODERAPI_ENV_FILE",
        "A file with lines NAME=value, such as this one, that `manage.py` reads before anything "
        "else. What the environment says wins over it.",
        Text(),
    ),
    _own(
        "CODERAPI_SECRET_KEY",
        "Django's SECRET_KEY: 50 or more random characters. Made once in the data directory "
        "beside a private database; required with a database of yours.",
        Text(),
        secret=True,
    ),
    _own(
        "CODERAPI_HTTP_ADDRESS",
        "Where to listen; wins over CODER_HTTP_ADDRESS, for a host that has Coder's environment.",
        Text(LISTENER),
    ),
    _own(
        "CODERAPI_CODER_VERSION",
        "The Coder release that we speak for.",
        Text(SEMANTIC_VERSION),
        default="2.29.0",
    ),
    _own(
        "CODERAPI_WIRE",
        "The wire format: documented (the reference page's) or coderd (Coder's own clients').",
        Text(one_of("documented", "coderd")),
        default="documented",
    ),
    _own(
        "CODERAPI_FIRST_OWNER_USERNAME",
        "The first owner, made at the first start. Without it POST /api/v2/users/first stays open "
        "until somebody calls it.",
        Text(),
    ),
    _own("CODERAPI_FIRST_OWNER_EMAIL", "The first owner's e-mail address.", Text()),
    _own(
        "CODERAPI_FIRST_OWNER_PASSWORD",
        "The first owner's password; without it one is made and shown once.",
        Text(),
        secret=True,
    ),
    _own(
        "CODERAPI_ALLOWED_HOSTS",
        "Comma-separated Host names to answer for. Without it: the access URL's host, the "
        "wildcard's and loopback; any host while no access URL is set.",
        TextList(),
    ),
    _own(
        "CACHE_URL",
        "A Redis-protocol server that shares rate limits between hosts.",
        Text(REDIS_URL),
        secret=True,
    ),
    _own(
        "CODERAPI_ACCESS_LOG",
        "A file for a line about each answer, such as /dev/stdout; without it there is none. "
        "Queries and tokens are not in it.",
        Text(),
    ),
    _own(
        "CODERAPI_ACCESS_LOG_FORMAT",
        "The form of these lines: common (the common log format, and the milliseconds and the "
        "request id), or json.",
        Text(one_of("common", "json")),
        default="common",
    ),
    _own("CODERAPI_WEB_WORKERS", "Web processes; one a core by default.", Integer(1, 64)),
    _own(
        "CODERAPI_WEB_THREADS",
        "Requests that each web process works on at a time. As many more threads are there for "
        "those that wait.",
        Integer(1, 512),
        default="64",
    ),
    _own(
        "CODERAPI_FAST_LANE",
        "Whether documents and CSP reports are answered in front of Django, by the same rules. "
        "Turn it off to find out whether an answer changes.",
        Bool(),
        default="true",
    ),
    _own(
        "CODERAPI_UPDATE_CHECK_URL",
        "Where the daily update check reads Coder's newest release.",
        URL(("http", "https")),
        default="https://api.github.com/repos/coder/coder/releases/latest",
        secret=True,  # A mirror may want a password or a token in its URL.
    ),
    _own(
        "CODERAPI_CSP_ACCESS",
        "Who may report CSP violations. By default authenticated in the documented wire, public "
        "in the coderd wire.",
        Text(one_of("authenticated", "ingest-key", "public")),
    ),
    _own(
        "CODERAPI_CSP_RATE_LIMIT",
        "How often a minute one user or address may send CSP reports, apart from the API's own "
        "limit; 0 sets none, nor does this where the API has no limit.",
        Integer(0, 1_000_000),
        default="6000",
    ),
    _own(
        "CODERAPI_CSP_RETENTION",
        "How long reports are kept; 0 keeps them for ever.",
        Duration(signed=False),
        default="90d",
    ),
    _own(
        "CODERAPI_STATS_RAW_RETENTION",
        "How long agent rows are kept after their hour; 0 keeps them for ever.",
        Duration(signed=False),
        default="24h",
    ),
    _own(
        "CODERAPI_STATS_RETENTION",
        "How long snapshots and sums of hours are kept; 0 keeps them for ever.",
        Duration(signed=False),
        default="400d",
    ),
    _own(
        "CODERAPI_STATS_P95_ALARM_MS",
        "The 95th percentile of connection latency, in milliseconds, above which an alarm is "
        "raised; 0 is never.",
        Integer(0, 999_999_999),
        default="0",
    ),
)
