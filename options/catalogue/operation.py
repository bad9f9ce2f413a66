"""Telemetry, traces, provisioners, rate limits, logs and dangerous options."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import DANGEROUS, HTTP, LOGGING, PROVISIONING, TELEMETRY, TRACING
from options.option import Option
from options.values import URL, Bool, Duration, Integer, Text, TextList
from options.values.rules import one_of

_telemetry_option = partial(Option, group=TELEMETRY)
_tracing_option = partial(Option, group=TRACING, external_workspace_proxies=True)
_provisioning_option = partial(Option, group=PROVISIONING)
_logging_option = partial(Option, group=LOGGING)
_dangerous_option = partial(Option, group=DANGEROUS)

OPERATION_OPTIONS = (
    _telemetry_option(
        "Telemetry Enable",
        "Allow the deployment to send usage data to the Coder company. Disable it if no data may "
        "leave your network.",
        Bool(),
        env="CODER_TELEMETRY_ENABLE",
        flag="telemetry",
        yaml="enable",
        default="true",
    ),
    _telemetry_option(
        "Telemetry (backwards compatibility)",
        "The old name of Telemetry Enable.",
        Bool(),
        env="CODER_TELEMETRY",
        flag="telemetry-enable",
        yaml="",
        hidden=True,
        use_instead=("Telemetry Enable",),
    ),
    _telemetry_option(
        "Telemetry URL",
        "The URL that receives usage data. Change it only to inspect the data with your own "
        "server.",
        URL(),
        env="CODER_TELEMETRY_URL",
        default="https://telemetry.coder.com",
        hidden=True,
    ),
    _tracing_option(
        "Trace Enable",
        "Collect traces of requests and send them to the collector in OpenTelemetry's own "
        "variables. Enable it to find slow requests.",
        Bool(),
        env="CODER_TRACE_ENABLE",
        flag="trace",
        yaml="enable",
    ),
    _tracing_option(
        "Trace Honeycomb API Key",
        "The API key for sending traces to Honeycomb.",
        Text(),
        env="CODER_TRACE_HONEYCOMB_API_KEY",
        secret=True,
    ),
    _tracing_option(
        "Capture Logs in Traces",
        "Attach log lines to their traces. Traces become much larger.",
        Bool(),
        env="CODER_TRACE_LOGS",
        yaml="captureLogs",
    ),
    _tracing_option(
        "Send Go runtime traces to DataDog",
        "Send execution traces of Go's runtime to a Datadog agent on the same machine.",
        Bool(),
        env="CODER_TRACE_DATADOG",
        yaml="dataDog",
        default="false",
        hidden=True,
    ),
    _provisioning_option(
        "Provisioner Daemons",
        "The number of provisioners in Coder's server, which is the number of builds at a time. "
        "With 0, only external provisioners build.",
        Integer(),
        env="CODER_PROVISIONER_DAEMONS",
        default="3",
    ),
    _provisioning_option(
        "Provisioner Daemon Types",
        "The types of the built-in provisioners: terraform, or echo for tests.",
        TextList(one_of("terraform", "echo")),
        env="CODER_PROVISIONER_TYPES",
        yaml="daemonTypes",
        default="terraform",
        hidden=True,
    ),
    _provisioning_option(
        "Poll Interval",
        "Formerly the interval at which a provisioner asked for work. It has no effect.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_INTERVAL",
        default="1s",
        deprecated=True,
    ),
    _provisioning_option(
        "Poll Jitter",
        "Formerly the random variation of the poll interval. It has no effect.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_JITTER",
        default="100ms",
        deprecated=True,
    ),
    _provisioning_option(
        "Force Cancel Interval",
        "How long a canceled build may take to end before it is killed.",
        Duration(),
        env="CODER_PROVISIONER_FORCE_CANCEL_INTERVAL",
        default="10m0s",
    ),
    _provisioning_option(
        "Provisioner Daemon Pre-shared Key (PSK)",
        "The shared secret that authenticates external provisioners. Make it at least as long as a "
        "good password.",
        Text(),
        env="CODER_PROVISIONER_DAEMON_PSK",
        secret=True,
    ),
    Option(
        "Disable All Rate Limits",
        "Disable all rate limits. Use it only for load tests, because it also allows guessing "
        "passwords.",
        Bool(),
        env="CODER_DANGEROUS_DISABLE_RATE_LIMITS",
        yaml="",
        json_path="rate_limit.disable_all",
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "API Rate Limit",
        "The number of requests per minute for each user, or for each address without a session. A "
        "negative number means no limit, 0 the default of 512.",
        Integer(),
        env="CODER_API_RATE_LIMIT",
        yaml="",
        json_path="rate_limit.api",
        default="512",
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _logging_option(
        "Verbose",
        "Log everything, down to the debug level. The log filter is more selective.",
        Bool(),
        env="CODER_VERBOSE",
        flag_shorthand="v",
        json_path="verbose",
        hidden=True,
        external_workspace_proxies=True,
        use_instead=("Log Filter",),
        obeyed=True,
    ),
    _logging_option(
        "Log Filter",
        "The debug messages to log, as regular expressions for names of loggers. Use .* for all of "
        "them.",
        TextList(),
        env="CODER_LOG_FILTER",
        flag_shorthand="l",
        json_path="logging.log_filter",
        obeyed=True,
    ),
    _logging_option(
        "Human Log Location",
        "The file or device, such as /dev/stderr, for human-readable logs. Empty disables them.",
        Text(),
        env="CODER_LOGGING_HUMAN",
        flag="log-human",
        yaml="humanPath",
        json_path="logging.human",
        default="/dev/stderr",
        empty_counts=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _logging_option(
        "JSON Log Location",
        "The file or device for JSON logs. Empty disables them.",
        Text(),
        env="CODER_LOGGING_JSON",
        flag="log-json",
        yaml="jsonPath",
        json_path="logging.json",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _logging_option(
        "Stackdriver Log Location",
        "The file or device for logs in the format of Google Cloud Logging. Empty disables them.",
        Text(),
        env="CODER_LOGGING_STACKDRIVER",
        flag="log-stackdriver",
        yaml="stackdriverPath",
        json_path="logging.stackdriver",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _logging_option(
        "Enable Terraform debug mode",
        "Let template authors see Terraform's debug logs, which may contain secrets.",
        Bool(),
        env="CODER_ENABLE_TERRAFORM_DEBUG_MODE",
        json_path="enable_terraform_debug_mode",
        default="false",
    ),
    Option(
        "Additional CSP Policy",
        "Directives to add to the Content-Security-Policy of the server's pages. Needed if a page "
        "must load content of another site.",
        TextList(),
        env="CODER_ADDITIONAL_CSP_POLICY",
        group=HTTP,
        obeyed=True,
    ),
    _dangerous_option(
        "DANGEROUS: Allow all CORS requests",
        "Let scripts of any site call the API with the visitor's session. Use it only for "
        "development on your own machine.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_CORS_REQUESTS",
        yaml="",
        json_path="dangerous.allow_all_cors",
        hidden=True,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _dangerous_option(
        "DANGEROUS: Allow Path App Sharing",
        "Allow users to share workspace applications under a path of the main site. Such an "
        "application can act as the user who opens it.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SHARING",
        yaml="",
    ),
    _dangerous_option(
        "DANGEROUS: Allow Site Owners to Access Path Apps",
        "Let owners open other users' applications under a path of the main site. Such an "
        "application can act with the owner's permissions.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS",
        yaml="",
    ),
    Option(
        "Experiments",
        "The experimental features to enable, by name. * enables the safe ones. Experiments can "
        "change or disappear.",
        TextList(),
        env="CODER_EXPERIMENTS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Update Check",
        "Check once a day for a new Coder release, and show it to owners. Disable it if the server "
        "cannot reach the internet.",
        Bool(),
        env="CODER_UPDATE_CHECK",
        default="true",
        obeyed=True,
    ),
)
