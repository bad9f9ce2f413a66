"""Where log lines go."""

from __future__ import annotations

from options.catalogue.groups import INTROSPECTION_LOGGING
from options.option import Option
from options.values import Bool, Text, TextList

LOGGING_OPTIONS = (
    Option(
        name="Verbose",
        description=(
            "Log everything down to the debug level. The log filter does the same with more choice."
        ),
        type=Bool(),
        json_path="verbose",
        env="CODER_VERBOSE",
        flag="verbose",
        flag_shorthand="v",
        yaml="verbose",
        group=INTROSPECTION_LOGGING,
        hidden=True,
        external_workspace_proxies=True,
        use_instead=("Log Filter",),
        obeyed=True,
    ),
    Option(
        name="Log Filter",
        description=(
            "Which debug messages are logged: expressions that the logger's name is matched "
            "against, with .* for all of them."
        ),
        type=TextList(),
        json_path="logging.log_filter",
        env="CODER_LOG_FILTER",
        flag="log-filter",
        flag_shorthand="l",
        yaml="filter",
        group=INTROSPECTION_LOGGING,
        obeyed=True,
    ),
    Option(
        name="Human Log Location",
        description=(
            "Where log lines for people go: a file, or a device such as /dev/stderr. Empty writes "
            "none."
        ),
        type=Text(),
        json_path="logging.human",
        env="CODER_LOGGING_HUMAN",
        flag="log-human",
        yaml="humanPath",
        default="/dev/stderr",
        group=INTROSPECTION_LOGGING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="JSON Log Location",
        description=(
            "Where log lines as JSON objects go, for machines to collect. Empty writes none."
        ),
        type=Text(),
        json_path="logging.json",
        env="CODER_LOGGING_JSON",
        flag="log-json",
        yaml="jsonPath",
        group=INTROSPECTION_LOGGING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Stackdriver Log Location",
        description="Where log lines in the form of Google Cloud Logging go. Empty writes none.",
        type=Text(),
        json_path="logging.stackdriver",
        env="CODER_LOGGING_STACKDRIVER",
        flag="log-stackdriver",
        yaml="stackdriverPath",
        group=INTROSPECTION_LOGGING,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Enable Terraform debug mode",
        description=(
            "Let template authors see what Terraform logs in its debug mode. Such logs may hold "
            "secrets."
        ),
        type=Bool(),
        json_path="enable_terraform_debug_mode",
        env="CODER_ENABLE_TERRAFORM_DEBUG_MODE",
        flag="enable-terraform-debug-mode",
        yaml="enableTerraformDebugMode",
        default="false",
        group=INTROSPECTION_LOGGING,
    ),
)
