"""The one settings module.

Coder's options come through `deployment.configuration`, ours through `coderapi.own_settings`.
"""

from __future__ import annotations

import os
from pathlib import Path

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from coderapi import __version__, database_settings, logs, own_settings
from coderapi.bootstrap import server_flags
from coderapi.datadir import data_dir
from coderapi.release import is_development
from coderapi.wire import Wire
from deployment.configuration import ConfigurationError, load

# Lets classes such as ModelAdmin be written with the type parameters that the type checker wants.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
OWN = own_settings.read()
try:
    CONFIGURATION = load(os.environ, flags=server_flags())
except ConfigurationError as error:
    raise ImproperlyConfigured(str(error)) from None

DATA_DIR = data_dir(os.environ)
VERSION = __version__
DEVELOPMENT = is_development(BASE_DIR, VERSION)
CODER_VERSION = OWN["CODERAPI_CODER_VERSION"]
BUILD_VERSION = f"v{CODER_VERSION}+coderapi.{VERSION}"
WIRE = Wire(OWN["CODERAPI_WIRE"])

# --- Where to listen, and what we are called -------------------------------------------------

HTTP_ADDRESS = OWN["CODERAPI_HTTP_ADDRESS"] or CONFIGURATION["http_address"]
WEB_WORKERS = OWN["CODERAPI_WEB_WORKERS"] or min(os.cpu_count() or 1, 8)
WEB_THREADS = OWN["CODERAPI_WEB_THREADS"]
ACCESS_URL = str(CONFIGURATION["access_url"]) or f"http://{HTTP_ADDRESS}"
ALLOWED_HOSTS = own_settings.allowed_hosts(
    OWN["CODERAPI_ALLOWED_HOSTS"],
    access_url=str(CONFIGURATION["access_url"]),
    wildcard=CONFIGURATION["wildcard_access_url"],
)
TRUSTED_PROXY_HEADERS = CONFIGURATION["proxy_trusted_headers"] or []
TRUSTED_PROXY_ORIGINS = CONFIGURATION["proxy_trusted_origins"] or []

# --- Database ---------------------------------------------------------------------------------

DATABASE_URL = (
    OWN["DATABASE_URL"]
    or own_settings.checked_database_url(CONFIGURATION["pg_connection_url"])
    or os.environ.get("CODERAPI_PRIVATE_DATABASE_URL", "")
)
DIRECT_DATABASE_URL = OWN["CODERAPI_PG_DIRECT_URL"] or DATABASE_URL
DATABASES = database_settings.databases(
    DATABASE_URL, pool_size=CONFIGURATION["pg_conn_max_open"], workers=WEB_WORKERS
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Django -----------------------------------------------------------------------------------

SECRET_KEY = OWN["CODERAPI_SECRET_KEY"] or ""
DEBUG = False
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "coderapi",
    "audit",
    "jobs",
    "users",
    "tokens",
    "deployment",
    "experiments",
    "csp",
]
MIDDLEWARE = [
    "coderapi.middleware.FrameMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "tokens.middleware.SessionTokenMiddleware",
    "coderapi.middleware.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "coderapi.urls"
WSGI_APPLICATION = "coderapi.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "coderapi" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# --- Identity and sign-in ---------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # The username is unique in any case, by a constraint that the check does not see.
]
AUTHENTICATION_BACKENDS = ["users.backends.EmailOrUsernameBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
FIRST_OWNER_USERNAME = OWN["CODERAPI_FIRST_OWNER_USERNAME"]
FIRST_OWNER_EMAIL = OWN["CODERAPI_FIRST_OWNER_EMAIL"]
FIRST_OWNER_PASSWORD = OWN["CODERAPI_FIRST_OWNER_PASSWORD"]
LOGIN_URL = "/admin/login/"
SESSION_DURATION_NS = CONFIGURATION["session_lifetime.default_duration"]
DEFAULT_TOKEN_LIFETIME_NS = CONFIGURATION["session_lifetime.default_token_lifetime"]
MAX_TOKEN_LIFETIME_NS = CONFIGURATION["session_lifetime.max_token_lifetime"]
MAX_ADMIN_TOKEN_LIFETIME_NS = CONFIGURATION["session_lifetime.max_admin_token_lifetime"]
DISABLE_SESSION_EXPIRY_REFRESH = CONFIGURATION["session_lifetime.disable_expiry_refresh"]
DISABLE_PASSWORD_AUTH = CONFIGURATION["disable_password_auth"]

# --- Cookies, transport, other origins --------------------------------------------------------

SECURE_COOKIES = CONFIGURATION["http_cookies.secure_auth_cookie"]
SAMESITE = CONFIGURATION["http_cookies.same_site"].capitalize()
SESSION_COOKIE_NAME = "coderapi_admin"
SESSION_COOKIE_AGE = max(SESSION_DURATION_NS // 1_000_000_000, 60)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = SAMESITE
CSRF_COOKIE_NAME = "csrf_token"
CSRF_HEADER_NAME = "HTTP_X_CSRF_TOKEN"
CSRF_FAILURE_VIEW = "coderapi.handlers.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CORS_ALLOW_ALL_ORIGINS = CONFIGURATION["dangerous.allow_all_cors"]
CORS_URLS_REGEX = r"^/api/v2(/|$)"
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "coder-session-token",
    "coder-wire",
    "x-csrf-token",
]
CORS_EXPOSE_HEADERS = ["X-Coder-Build-Version", "X-Coder-Request-Id"]

# --- Limits -----------------------------------------------------------------------------------

API_RATE_LIMIT = own_settings.api_rate_limit(
    CONFIGURATION["rate_limit.api"], disabled=CONFIGURATION["rate_limit.disable_all"]
)
CACHE_URL = OWN["CACHE_URL"]
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # coderapi.body caps and counts before Django sees a request.

# --- What this service keeps and answers ------------------------------------------------------

EXPERIMENTS = CONFIGURATION["experiments"] or []
CSP_ACCESS = OWN["CODERAPI_CSP_ACCESS"] or ("public" if WIRE is Wire.CODERD else "authenticated")
CSP_RETENTION = OWN["CODERAPI_CSP_RETENTION"]
STATS_RAW_RETENTION = OWN["CODERAPI_STATS_RAW_RETENTION"]
STATS_RETENTION = OWN["CODERAPI_STATS_RETENTION"]
API_KEYS_RETENTION = own_settings.timedelta_of(CONFIGURATION["retention.api_keys"])
AUDIT_LOGS_RETENTION = own_settings.timedelta_of(CONFIGURATION["retention.audit_logs"])
STATS_REFRESH_NS = CONFIGURATION["agent_stat_refresh_interval"]
STATS_USAGE_ENABLED = CONFIGURATION["stats_collection.usage_stats.enable"]
UPDATE_CHECK = CONFIGURATION["update_check"] and (
    not DEVELOPMENT or CONFIGURATION.source("Update Check") not in ("", "default")
)
UPDATE_CHECK_URL = OWN["CODERAPI_UPDATE_CHECK_URL"]
SSH_HOSTNAME_PREFIX = CONFIGURATION["config_ssh.deploymentName"]
SSH_HOSTNAME_SUFFIX = CONFIGURATION["workspace_hostname_suffix"]
SSH_CONFIG_OPTIONS = CONFIGURATION["config_ssh.sshconfigOptions"] or []
TELEMETRY = CONFIGURATION["telemetry.enable"]
CLI_UPGRADE_MESSAGE = CONFIGURATION["cli_upgrade_message"]

# --- The API ----------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tokens.authentication.SessionTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tokens.permissions.Authenticated"],
    "DEFAULT_RENDERER_CLASSES": ["coderapi.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "coderapi.rendering.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "coderapi.handlers.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

# --- Logs -------------------------------------------------------------------------------------

LOGGING = logs.configuration(
    human=CONFIGURATION["logging.human"],
    json=CONFIGURATION["logging.json"],
    verbose=CONFIGURATION["verbose"],
)
