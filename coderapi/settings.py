"""Django's settings. `options` reads their values from Coder's options and our own settings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext

from coderapi import __version__
from coderapi.pages import content_policy
from coderapi.postgres.datadir import data_dir
from coderapi.startup import bootstrap
from kernel.db import replicas
from kernel.db.connections import databases
from kernel.http import CODER_API, OWN_API, headers
from kernel.http.wire import WireFormat
from kernel.release import REPOSITORY, ROOT
from kernel.telemetry import logs
from kernel.text.durations import to_timedelta, whole_seconds
from kernel.text.hosts import ascii_address
from options import start
from options.redaction import redacted, snapshot
from options.values.urls import parse_url

# Allows type parameters on classes such as ModelAdmin.
django_stubs_ext.monkeypatch()

BASE_DIR = ROOT
OPTIONS = bootstrap.configuration(os.environ)

DATA_DIR = data_dir(os.environ)
VERSION = __version__
CODER_VERSION = OPTIONS["CODERAPI_CODER_VERSION"]
BUILD_VERSION = f"v{CODER_VERSION}+coderapi.{VERSION}"
USER_AGENT = f"coderapi/{VERSION}"
WIRE_FORMAT = WireFormat(OPTIONS["CODERAPI_WIRE_FORMAT"])

# --- Addresses and names ----------------------------------------------------------------------

HTTP_ADDRESS = OPTIONS["CODERAPI_HTTP_ADDRESS"] or OPTIONS["http_address"]
WEB_WORKERS = OPTIONS["CODERAPI_WEB_WORKERS"] or min(os.cpu_count() or 1, 8)
# The number of threads of each web worker that run Django. `kernel.limiter` describes the limits
# for threads that wait.
SERVER_THREADS = OPTIONS["CODERAPI_WEB_THREADS"]
# One thread hashes a password. Meanwhile, the other can use the database for another sign-in.
SIGN_IN_THREADS = 2
MAX_DATABASE_CONNECTIONS = max(2, SERVER_THREADS // 2)
# Before the server stops, it serves requests for this number of seconds.
SHUTDOWN_DELAY = to_timedelta(OPTIONS["CODERAPI_SHUTDOWN_DELAY"]).total_seconds()
TLS_ENABLE = OPTIONS["tls.enable"]
ACCESS_URL = (
    str(replace(OPTIONS["access_url"], userinfo=None))
    or bootstrap.bound_url()
    or (f"https://{OPTIONS['tls.address']}" if TLS_ENABLE else f"http://{HTTP_ADDRESS}")
)
# Coder's options without secrets. If no access URL is set, `access_url` is the default ACCESS_URL.
CONFIGURATION = redacted(OPTIONS.replace({"access_url": parse_url(ACCESS_URL)}))
WILDCARD_ACCESS_URL = OPTIONS["wildcard_access_url"]
REDIRECT_TO_ACCESS_URL = OPTIONS["redirect_to_access_url"] and bool(str(OPTIONS["access_url"]))
# These paths accept any Host header, and never redirect.
HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
ALLOWED_HOSTS = start.allowed_hosts(
    OPTIONS["CODERAPI_ALLOWED_HOSTS"],
    access_url=str(OPTIONS["access_url"]),
    wildcard=OPTIONS["wildcard_access_url"],
)
# The path of all pages. The API and the health checks are not below it.
PAGES_PATH = OPTIONS["CODERAPI_PAGES_PATH"]
TRUSTED_PROXY_HEADERS = OPTIONS["proxy_trusted_headers"] or []
TRUSTED_PROXY_ORIGINS = OPTIONS["proxy_trusted_origins"] or []

SECRET_KEY = OPTIONS["CODERAPI_SECRET_KEY"]
CONFIG_SNAPSHOT = snapshot(OPTIONS, key=SECRET_KEY)

# With `coder`, the session tokens of Coder are also accepted, and Coder manages the users.
USER_SOURCE = OPTIONS["CODERAPI_USER_SOURCE"]
# The explanation on the 404 page.
ABOUT = "This is coderapi. It implements Coder's General API"
if USER_SOURCE == "own":
    ABOUT += " and manages its own users and session tokens. Workspaces, templates"
else:
    ABOUT += ". Users, session tokens, workspaces, templates"
ABOUT += " and the dashboard are part of Coder itself."

# --- Database ---------------------------------------------------------------------------------

DATABASE_URL = (
    OPTIONS["DATABASE_URL"] or OPTIONS["pg_connection_url"] or bootstrap.private_database_url()
)
DIRECT_DATABASE_URL = OPTIONS["CODERAPI_DIRECT_DATABASE_URL"] or DATABASE_URL
# Processes on one database that differ in these settings give different answers.
SHARED_SETTINGS = (
    *("CODERAPI_WIRE_FORMAT", "CODERAPI_USER_SOURCE", "CODERAPI_CODER_URL", "CODERAPI_PAGES_PATH"),
    *("CODERAPI_REDIS_URL", "CODERAPI_CSP_ALLOWED_SENDERS", "CODERAPI_CSP_RATE_LIMIT"),
    *("CODERAPI_CSP_RETENTION", "CODERAPI_STATS_AGENT_ROW_RETENTION", "CODERAPI_STATS_RETENTION"),
)
replicas.name_configuration(
    CONFIG_SNAPSHOT.short,
    secret_key=SECRET_KEY,
    shared=repr([str(OPTIONS[name]) for name in SHARED_SETTINGS]),
)
DATABASES = databases(
    DATABASE_URL,
    pool_size=OPTIONS["pg_conn_max_open"],
    idle=OPTIONS["pg_conn_max_idle"],
    pooled=DIRECT_DATABASE_URL != DATABASE_URL,
    workers=WEB_WORKERS * (2 if TLS_ENABLE and HTTP_ADDRESS else 1),
    max_share=MAX_DATABASE_CONNECTIONS,
)

# --- Django -----------------------------------------------------------------------------------

DEBUG = False
# The tuple of the steps that requests take before the other middleware.
STEPS = "coderapi.steps.STEPS"
INSTALLED_APPS = bootstrap.INSTALLED_APPS
MIDDLEWARE = [
    "kernel.http.middleware.StepsMiddleware",
    "coderapi.pages.middleware.PagesMiddleware",
]
# Requests to the API skip this middleware.
PAGES_MIDDLEWARE = [
    "coderapi.pages.middleware.StaticFilesMiddleware",
    "coderapi.pages.content_policy.ContentPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # `tokens.verification.extraction` protects the API against cross-site requests.
    "django.middleware.csrf.CsrfViewMiddleware",
    (
        "beside.admin_access.CoderAuthenticationMiddleware"
        if USER_SOURCE == "coder"
        else "django.contrib.auth.middleware.AuthenticationMiddleware"
    ),
    "django.contrib.messages.middleware.MessageMiddleware",
    "coderapi.pages.middleware.PageXFrameOptionsMiddleware",
]
ROOT_URLCONF = "coderapi.coder_urls" if USER_SOURCE == "coder" else "coderapi.urls"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "coderapi" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"humanize": "kernel.text.humanize"},
        },
    },
]
USE_I18N = False
FORMAT_MODULE_PATH = "coderapi.formats"
TIME_ZONE = "UTC"
STATIC_URL = f"{PAGES_PATH}static/"
COLLECTED = BASE_DIR / "coderapi" / "staticfiles"
STATIC_ROOT = COLLECTED if COLLECTED.is_dir() else None
STORAGES = {
    "staticfiles": {
        "BACKEND": "coderapi.pages.middleware.CollectedOrPlain",
        "OPTIONS": {"location": COLLECTED, "base_url": STATIC_URL},
    },
}
# These static files of packages are not served, because no page uses them: Redoc, the pages of DRF,
# source maps, and unminified scripts.
NOT_SERVED = ["redoc", "rest_framework", "*.js.map", "jquery.js", "select2.full.js", "xregexp.js"]
STATICFILES_FINDERS = ["coderapi.pages.middleware.ServedFiles"]
WHITENOISE_USE_FINDERS = True

# --- Identity and sign-in ---------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
SILENCED_SYSTEM_CHECKS = [
    # kernel.http.responses sets the headers of Django's SecurityMiddleware.
    "security.W001",
    # X-Frame-Options, CSRF, authentication, messages and sessions are in PAGES_MIDDLEWARE.
    "security.W002",
    "security.W003",
    "admin.E408",
    "admin.E409",
    "admin.E410",
    # kernel.http.responses sends Strict-Transport-Security.
    "security.W004",
    # kernel.http.steps.hosts redirects to HTTPS.
    "security.W008",
    # A mail server is optional.
    "mail.W001",
]
PASSWORD_HASHERS = ["users.passwords.BoundedArgon2"]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "users.passwords.PasswordValidator"}]
FIRST_OWNER_USERNAME = OPTIONS["CODERAPI_FIRST_OWNER_USERNAME"]
FIRST_OWNER_EMAIL = OPTIONS["CODERAPI_FIRST_OWNER_EMAIL"]
FIRST_OWNER_PASSWORD = OPTIONS["CODERAPI_FIRST_OWNER_PASSWORD"]
SESSION_DURATION_NS = OPTIONS["session_lifetime.default_duration"]
DEFAULT_TOKEN_LIFETIME_NS = OPTIONS["session_lifetime.default_token_lifetime"]
MAX_TOKEN_LIFETIME_NS = OPTIONS["session_lifetime.max_token_lifetime"]
MAX_ADMIN_TOKEN_LIFETIME_NS = OPTIONS["session_lifetime.max_admin_token_lifetime"]
DISABLE_SESSION_EXPIRY_REFRESH = OPTIONS["session_lifetime.disable_expiry_refresh"]
DISABLE_PASSWORD_AUTH = OPTIONS["disable_password_auth"]

# --- Cookies, transport, other origins --------------------------------------------------------

SECURE_COOKIES = OPTIONS["http_cookies.secure_auth_cookie"]
SAMESITE = OPTIONS["http_cookies.same_site"].capitalize()
# A browser accepts a `__Host-` cookie only from the host itself, so another subdomain cannot set
# it. Such a cookie must be secure and have the path `/`. A `__Secure-` cookie can have any path.
COOKIE_PREFIX = ("__Host-" if PAGES_PATH == "/" else "__Secure-") if SECURE_COOKIES else ""
# With another path, the host name may belong to a Coder deployment. A browser would send a cookie
# with Coder's name and a longer path before Coder's own cookie.
SESSION_TOKEN_COOKIE = (
    "coder_session_token" if PAGES_PATH == "/" else f"{COOKIE_PREFIX}coderapi_session"
)
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}coderapi_admin"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = PAGES_PATH
SESSION_COOKIE_AGE = max(whole_seconds(SESSION_DURATION_NS), 60)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = SAMESITE
# If a proxy terminates TLS, browsers send an Origin header with https, but requests arrive with
# http. Django accepts such an origin only if it is in this list.
CSRF_TRUSTED_ORIGINS = [OPTIONS["access_url"].origin] if OPTIONS["access_url"] else []
STRICT_TRANSPORT_SECURITY = start.strict_transport_security(
    OPTIONS["strict_transport_security"], OPTIONS["strict_transport_security_options"] or ()
)
# Only the admin and our own pages use the CSRF cookie. tokens.verification.extraction explains
# how the API is protected.
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}coderapi_csrf"
# Django's other storage would use a cookie with the path `/`.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
CSRF_FAILURE_VIEW = "kernel.http.views.handlers.csrf_failure"
CSP_REPORTS_PATH = f"{CODER_API}/csp/reports"
SIGN_IN_PATHS = (f"{CODER_API}/users/login", f"{CODER_API}/users/first")
SECURE_CSP = content_policy.content_policy(
    OPTIONS["additional_csp_policy"] or (),
    reports_path=CSP_REPORTS_PATH,
    https=ACCESS_URL.startswith("https://"),
)
CORS_ALLOW_ALL_ORIGINS = OPTIONS["dangerous.allow_all_cors"]

# --- Limits -----------------------------------------------------------------------------------

API_RATE_LIMIT = start.api_rate_limit(
    OPTIONS["rate_limit.api"], disabled=OPTIONS["rate_limit.disable_all"]
)
# Without a limit for the API, reports are not limited either. 0 means no limit.
CSP_RATE_LIMIT = API_RATE_LIMIT and (OPTIONS["CODERAPI_CSP_RATE_LIMIT"] or None)
# Sign-ins are counted separately. Otherwise a web page could use up the limit with images that it
# loads from the API.
SIGN_IN_RATE_LIMIT = API_RATE_LIMIT
REDIS_URL = OPTIONS["CODERAPI_REDIS_URL"]
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # `max_body` of a view limits the size.

# --- Stored data and responses ----------------------------------------------------------------

EXPERIMENTS = OPTIONS["experiments"] or []
WEBHOOK_INTERNAL_NETWORKS = OPTIONS["CODERAPI_WEBHOOK_INTERNAL_NETWORKS"] or []
CSP_ALLOWED_SENDERS = OPTIONS["CODERAPI_CSP_ALLOWED_SENDERS"] or (
    "public" if WIRE_FORMAT is WireFormat.CODERD else "authenticated"
)
CSP_RETENTION = to_timedelta(OPTIONS["CODERAPI_CSP_RETENTION"])
CSP_MAX_DISK = OPTIONS["CODERAPI_CSP_MAX_DISK"]
STATS_AGENT_ROW_RETENTION = to_timedelta(OPTIONS["CODERAPI_STATS_AGENT_ROW_RETENTION"])
STATS_RETENTION = to_timedelta(OPTIONS["CODERAPI_STATS_RETENTION"])
STATS_LATENCY_ALARM = to_timedelta(OPTIONS["CODERAPI_STATS_LATENCY_ALARM"])
STATS_SESSION_ALARM_APPS = OPTIONS["CODERAPI_STATS_SESSION_ALARM_APPS"] or []
API_KEYS_RETENTION = to_timedelta(OPTIONS["retention.api_keys"])
AUDIT_LOGS_RETENTION = to_timedelta(OPTIONS["retention.audit_logs"])
STATS_REFRESH_NS = OPTIONS["agent_stat_refresh_interval"]
STATS_USAGE_ENABLED = OPTIONS["stats_collection.usage_stats.enable"]
UPDATE_CHECK = OPTIONS["update_check"]
UPDATE_CHECK_URL = str(OPTIONS["CODERAPI_UPDATE_CHECK_URL"])
RELEASE_FEED = OPTIONS["CODERAPI_RELEASE_FEED"]
SSH_HOSTNAME_PREFIX = CONFIGURATION["config_ssh.deploymentName"]
SSH_HOSTNAME_SUFFIX = CONFIGURATION["workspace_hostname_suffix"]
SSH_CONFIG_OPTIONS = CONFIGURATION["config_ssh.sshconfigOptions"] or []

DEFAULT_FROM_EMAIL = SERVER_EMAIL = ascii_address(OPTIONS["notifications.email.from"])
_smarthost = urlsplit(f"//{OPTIONS['notifications.email.smarthost']}")
_password_file = OPTIONS["notifications.email.auth.password_file"] if _smarthost.hostname else ""
_mailer = {
    "host": _smarthost.hostname,
    "port": _smarthost.port,
    "username": OPTIONS["notifications.email.auth.username"],
    "password": OPTIONS["notifications.email.auth.password"]
    or (Path(_password_file).read_text(encoding="utf-8").rstrip("\r\n") if _password_file else ""),
    "use_ssl": OPTIONS["notifications.email.force_tls"],
    "use_tls": OPTIONS["notifications.email.tls.start_tls"]
    and not OPTIONS["notifications.email.force_tls"],
    "timeout": 10,
}
# Without a mail server, e-mail is disabled.
MAILERS = {"default": {"OPTIONS": _mailer}} if _smarthost.hostname else {}

# --- The Coder deployment that this service runs beside ---------------------------------------

CODER_URL = str(OPTIONS["CODERAPI_CODER_URL"]).rstrip("/")
CONFIG_SOURCE = OPTIONS["CODERAPI_CONFIG_SOURCE"]
CODER_DATABASE_URL = OPTIONS["CODERAPI_CODER_DATABASE_URL"]
CODER_TOKEN = OPTIONS["CODERAPI_CODER_TOKEN"]
CODER_TOKEN_POLICY = OPTIONS["CODERAPI_CODER_TOKEN_POLICY"]

# --- The API ----------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tokens.verification.authentication.SessionTokenAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["users.permissions.Undeclared"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "coderapi.openapi.operations.OperationSchema",
    "EXCEPTION_HANDLER": "kernel.http.views.handlers.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
API_INTRODUCTIONS = {
    "own": """\
This is Coder's General API, with the operations for users, sign-in and tokens that Coder's clients
need.

**Authentication.** Most operations require a session token. `POST /api/v2/users/login` returns a
session token for an e-mail address and a password. `POST /api/v2/users/{user}/keys/tokens` creates
a token for a program.""",
    "coder": """\
This is Coder's General API, without the users and their tokens, which belong to Coder.

**Authentication.** Most operations require a session token of Coder.""",
}
API_DESCRIPTION = f"""\
{API_INTRODUCTIONS[USER_SOURCE]} Send the token in the header
`{headers.SESSION_TOKEN}`. If a request contains several tokens, the token in the cookie is used.

**Two APIs.** Operations of Coder are below `{CODER_API}/`. Operations that only coderapi has are
below `{OWN_API}/`. Their `x-stability` is `stable`, or `experimental` if they may change with each
release. They reject unknown query parameters.

**Errors.** Every error is a JSON object with a human-readable `message`. It may also contain a
`detail`, and `validations` that list the invalid members of the request.

**Absent values.** An optional query parameter with an empty value counts as absent, and so does an
optional member of a JSON body with the value null. Strings must not contain the character NUL.

**Values.** Times are in UTC, in the format of RFC 3339. Durations are whole numbers of nanoseconds.
They can exceed 2^53, so read them as 64-bit integers.

**Limits.** The rate limit is a maximum number of requests per minute. The `X-RateLimit-…` headers
contain the limit and the number of remaining requests.
"""
CODER_TAGS = {
    "Authorization": "Sign-in, and checks of the caller's permissions.",
    "General": "Information about the deployment: build, configuration, experiments and stats. "
    "Also receives browsers' reports of Content-Security-Policy violations.",
    "Members": "The members of the organization, and the roles of users.",
    "Organizations": "The only organization of the deployment. Coder's clients need this resource.",
    "Users": "User accounts, their passwords, statuses and roles, and their session tokens.",
}
OWN_TAGS = {
    "CSP": "Groups of Content-Security-Policy violations, their states, and advice for them.",
    "Stats": "The history of the deployment stats, and the agent rows that they are computed from.",
    "Token policies": "The limits on the tokens of a user.",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "coderapi",
    "DESCRIPTION": API_DESCRIPTION,
    "CONTACT": {"name": "coderapi", **({"url": REPOSITORY} if REPOSITORY else {})},
    "VERSION": VERSION,
    "LICENSE": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/"}],
    "PREPROCESSING_HOOKS": ["coderapi.openapi.document.only_the_api"],
    "POSTPROCESSING_HOOKS": ["coderapi.openapi.document.add_components"],
    "TAGS": [
        {"name": name, "description": text}
        for name, text in sorted({**CODER_TAGS, **OWN_TAGS}.items())
    ],
    "EXTENSIONS_ROOT": {
        "x-tagGroups": [
            {"name": "Operations of Coder", "tags": [*CODER_TAGS]},
            {"name": "Operations of coderapi", "tags": [*OWN_TAGS]},
        ]
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False},
}
SWAGGER_ENABLE = OPTIONS["swagger.enable"]
if not SWAGGER_ENABLE:
    NOT_SERVED.append("swagger-ui-dist")

# --- Logs -------------------------------------------------------------------------------------

LOGGING = logs.configuration(
    human=OPTIONS["logging.human"],
    json=OPTIONS["logging.json"],
    stackdriver=OPTIONS["logging.stackdriver"],
    chatter=[".*"] if OPTIONS["verbose"] else OPTIONS["logging.log_filter"] or [],
)
logs.redact(OPTIONS.secrets())
ACCESS_LOG_PATH = OPTIONS["CODERAPI_ACCESS_LOG_PATH"]
ACCESS_LOG_FORMAT = OPTIONS["CODERAPI_ACCESS_LOG_FORMAT"]
