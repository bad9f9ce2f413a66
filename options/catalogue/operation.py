"""Options for telemetry, traces, provisioners, rate limits, logs and weaker security."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import DANGEROUS, HTTP, LOGGING, PROVISIONING, TELEMETRY, TRACING
from options.option import Option
from options.values.lists import TextList
from options.values.rules import one_of
from options.values.scalars import Bool, Duration, Integer, Text
from options.values.urls import URL

_telemetry_option = partial(Option, group=TELEMETRY)
_tracing_option = partial(Option, group=TRACING, external_workspace_proxies=True)
_provisioning_option = partial(Option, group=PROVISIONING)
_logging_option = partial(Option, group=LOGGING)
_dangerous_option = partial(Option, group=DANGEROUS)

OPERATION_OPTIONS = (
    _telemetry_option(
        "Telemetry Enable",
        "Allow the deployment to send usage data to the company Coder. Disable it if no data may "
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
        "The URL that receives usage data. Change it only if you want to inspect the data with "
        "your own server.",
        URL(),
        env="CODER_TELEMETRY_URL",
        default="https://telemetry.coder.com",
        hidden=True,
    ),
    _tracing_option(
        "Trace Enable",
        "Collect traces of requests, and send the traces to an OpenTelemetry collector. "
        "OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, configure the "
        "collector.",
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
        "Add log lines to traces. Traces then become much larger.",
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
        "The number of provisioners that run in Coder's server. Each provisioner runs one build "
        "at a time. With 0, only external provisioners run builds.",
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
        "An old option for the interval at which provisioners looked for jobs. It is ignored.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_INTERVAL",
        default="1s",
        deprecated=True,
    ),
    _provisioning_option(
        "Poll Jitter",
        "An old option for the random variation of Poll Interval. It is ignored.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_JITTER",
        default="100ms",
        deprecated=True,
    ),
    _provisioning_option(
        "Force Cancel Interval",
        "How long a canceled build can take to stop. After this time, it is killed.",
        Duration(),
        env="CODER_PROVISIONER_FORCE_CANCEL_INTERVAL",
        default="10m0s",
    ),
    _provisioning_option(
        "Provisioner Daemon Pre-shared Key (PSK)",
        "The shared secret that authenticates external provisioners. Use a long random value.",
        Text(),
        env="CODER_PROVISIONER_DAEMON_PSK",
        secret=True,
    ),
    Option(
        "Disable All Rate Limits",
        "Disable all rate limits. Use it only for load tests, because attackers can then try any "
        "number of passwords.",
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
        "The maximum number of requests per minute for each user. Requests without a session are "
        "counted for each IP address. A negative number means no limit. 0 means the default of "
        "512.",
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
        "Log all messages, including debug messages. With Log Filter you can choose which debug "
        "messages are logged.",
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
        "Regular expressions for names of loggers. Debug messages of matching loggers are logged. "
        "Use .* to log all debug messages.",
        TextList(),
        env="CODER_LOG_FILTER",
        flag_shorthand="l",
        json_path="logging.log_filter",
        obeyed=True,
    ),
    _logging_option(
        "Human Log Location",
        "The file or device for human-readable logs, such as /dev/stderr. If it is empty, these "
        "logs are disabled.",
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
        "The file or device for logs in JSON format. If it is empty, these logs are disabled.",
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
        "The file or device for logs in the format of Google Cloud Logging. If it is empty, these "
        "logs are disabled.",
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
        "Show Terraform's debug logs to template authors. The debug logs may contain secrets.",
        Bool(),
        env="CODER_ENABLE_TERRAFORM_DEBUG_MODE",
        json_path="enable_terraform_debug_mode",
        default="false",
    ),
    Option(
        "Additional CSP Policy",
        "Directives to add to the Content-Security-Policy header of the server's pages. Set it if "
        "a page must load content from another site.",
        TextList(),
        env="CODER_ADDITIONAL_CSP_POLICY",
        group=HTTP,
        obeyed=True,
    ),
    _dangerous_option(
        "DANGEROUS: Allow all CORS requests",
        "Allow scripts of any site to call the API with the user's session. Use it only for "
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
        "Allow users to share workspace applications under a path of the access URL. Such an "
        "application can send API requests as the user who opens the application.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SHARING",
        yaml="",
    ),
    _dangerous_option(
        "DANGEROUS: Allow Site Owners to Access Path Apps",
        "Allow owners to open other users' workspace applications under a path of the access URL. "
        "Such an application can send API requests with the owner's permissions.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS",
        yaml="",
    ),
    Option(
        "Experiments",
        "The names of experimental features to enable. * enables the experiments that are safe to "
        "use. Experiments can change or be removed in any release.",
        TextList(),
        env="CODER_EXPERIMENTS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Update Check",
        "Check once a day whether a new release of Coder is available, and show the release to "
        "owners. Disable it if the server cannot connect to the internet.",
        Bool(),
        env="CODER_UPDATE_CHECK",
        default="true",
        obeyed=True,
    ),
)
