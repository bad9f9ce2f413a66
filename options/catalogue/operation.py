"""Telemetry, traces, provisioners, rate limits, logs and dangerous switches."""

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
        "Say that the deployment may send usage figures to the makers of Coder. Switch it off if "
        "nothing may leave your network.",
        Bool(),
        env="CODER_TELEMETRY_ENABLE",
        flag="telemetry",
        yaml="enable",
        default="true",
    ),
    _telemetry_option(
        "Telemetry (backwards compatibility)",
        "The old name of the telemetry switch. Use Telemetry Enable instead.",
        Bool(),
        env="CODER_TELEMETRY",
        flag="telemetry-enable",
        yaml="",
        hidden=True,
        use_instead=("Telemetry Enable",),
    ),
    _telemetry_option(
        "Telemetry URL",
        "Where usage figures are sent. Change it only to look at them with a server of your own.",
        URL(),
        env="CODER_TELEMETRY_URL",
        default="https://telemetry.coder.com",
        hidden=True,
    ),
    _tracing_option(
        "Trace Enable",
        "Collect traces of requests and hand them to the collector that OpenTelemetry's own "
        "variables name. Switch it on while you look for slow requests.",
        Bool(),
        env="CODER_TRACE_ENABLE",
        flag="trace",
        yaml="enable",
    ),
    _tracing_option(
        "Trace Honeycomb API Key",
        "The key with which traces are sent to Honeycomb.",
        Text(),
        env="CODER_TRACE_HONEYCOMB_API_KEY",
        secret=True,
    ),
    _tracing_option(
        "Capture Logs in Traces",
        "Attach log lines to the traces in which they were written. It makes traces much larger.",
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
        "How many provisioners run inside Coder's server, which is how many builds run at once. "
        "Zero leaves all builds to provisioners elsewhere.",
        Integer(),
        env="CODER_PROVISIONER_DAEMONS",
        default="3",
    ),
    _provisioning_option(
        "Provisioner Daemon Types",
        "What the provisioners inside the server can run: terraform, or echo for tests.",
        TextList(one_of("terraform", "echo")),
        env="CODER_PROVISIONER_TYPES",
        yaml="daemonTypes",
        default="terraform",
        hidden=True,
    ),
    _provisioning_option(
        "Poll Interval",
        "Formerly how often a provisioner asked for work. It has no effect any more.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_INTERVAL",
        default="1s",
        deprecated=True,
    ),
    _provisioning_option(
        "Poll Jitter",
        "Formerly by how much the asking for work was spread out. It has no effect any more.",
        Duration(),
        env="CODER_PROVISIONER_DAEMON_POLL_JITTER",
        default="100ms",
        deprecated=True,
    ),
    _provisioning_option(
        "Force Cancel Interval",
        "How long a cancelled build may take to end by itself before it is ended by force.",
        Duration(),
        env="CODER_PROVISIONER_FORCE_CANCEL_INTERVAL",
        default="10m0s",
    ),
    _provisioning_option(
        "Provisioner Daemon Pre-shared Key (PSK)",
        "The shared secret with which provisioners on other machines prove that they belong here. "
        "At least as long as a good password.",
        Text(),
        env="CODER_PROVISIONER_DAEMON_PSK",
        secret=True,
    ),
    Option(
        "Disable All Rate Limits",
        "Switch all rate limits off. Only for load tests: it also opens the door to guessing "
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
        "How many requests a minute one user, or one address without a session, may make. A "
        "negative number means no limit, and 0 the usual 512.",
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
        "Log everything down to the debug level. The log filter does the same with more choice.",
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
        "Which debug messages are logged: expressions that the logger's name is matched against, "
        "with .* for all of them.",
        TextList(),
        env="CODER_LOG_FILTER",
        flag_shorthand="l",
        json_path="logging.log_filter",
        obeyed=True,
    ),
    _logging_option(
        "Human Log Location",
        "Where log lines for people go: a file, or a device such as /dev/stderr. Empty writes "
        "none.",
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
        "Where log lines as JSON objects go, for machines to collect. Empty writes none.",
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
        "Where log lines in the form of Google Cloud Logging go. Empty writes none.",
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
        "Let template authors see what Terraform logs in its debug mode. Such logs may hold "
        "secrets.",
        Bool(),
        env="CODER_ENABLE_TERRAFORM_DEBUG_MODE",
        json_path="enable_terraform_debug_mode",
        default="false",
    ),
    Option(
        "Additional CSP Policy",
        "Directives that are added to the content security policy of the server's pages. Needed "
        "when a page must load something from another site.",
        TextList(),
        env="CODER_ADDITIONAL_CSP_POLICY",
        group=HTTP,
        obeyed=True,
    ),
    _dangerous_option(
        "DANGEROUS: Allow all CORS requests",
        "Let scripts of any site call the API with the visitor's session. Only for development on "
        "your own machine.",
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
        "Allow the sharing of workspace applications that live under a path of the main site. Such "
        "an application can act in the name of the person who opens it.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SHARING",
        yaml="",
    ),
    _dangerous_option(
        "DANGEROUS: Allow Site Owners to Access Path Apps",
        "Let owners of the deployment open other people's applications under a path of the main "
        "site. Such an application can act with the owner's rights.",
        Bool(),
        env="CODER_DANGEROUS_ALLOW_PATH_APP_SITE_OWNER_ACCESS",
        yaml="",
    ),
    Option(
        "Experiments",
        "Unfinished features to switch on, by name; * stands for those that are safe. "
        "Expect them to change or go.",
        TextList(),
        env="CODER_EXPERIMENTS",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Update Check",
        "Look once a day for a newer release of Coder and tell owners of it. Switch it off where "
        "the server cannot reach the internet.",
        Bool(),
        env="CODER_UPDATE_CHECK",
        default="true",
        obeyed=True,
    ),
)
