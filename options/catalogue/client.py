"""Options for the configuration file, Coder's command line, editors and the dashboard."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import CLIENT, CONFIG, HEALTH_CHECK, HTTP, QUIET_HOURS
from options.option import Option
from options.values.lists import TextList
from options.values.rules import HOST_SUFFIX, SSH_LINE
from options.values.scalars import Bool, ConfigPath, Duration, Text
from options.values.structs import ExternalAuth, Links

_client_option = partial(Option, group=CLIENT)

CLIENT_OPTIONS = (
    Option(
        "Config Path",
        "The path of the YAML file with options. Flags and environment variables override its "
        "values.",
        ConfigPath(),
        env="CODER_CONFIG_PATH",
        flag="config",
        flag_shorthand="c",
        yaml="",
        group=CONFIG,
        obeyed=True,
    ),
    _client_option(
        "SSH Host Prefix",
        "The prefix of the workspaces' host names in users' SSH configurations. Use Workspace "
        "Hostname Suffix instead.",
        Text(),
        env="CODER_SSH_HOSTNAME_PREFIX",
        json_path="config_ssh.deploymentName",
        default="coder.",
        hidden=True,
        use_instead=("Workspace Hostname Suffix",),
        obeyed=True,
    ),
    _client_option(
        "Workspace Hostname Suffix",
        "The suffix of the workspaces' host names in SSH configurations and in Coder's VPN, "
        "without a leading dot.",
        Text(HOST_SUFFIX),
        env="CODER_WORKSPACE_HOSTNAME_SUFFIX",
        default="coder",
        obeyed=True,
    ),
    _client_option(
        "SSH Config Options",
        "Lines to add to users' SSH configurations, each as key=value or key value. They are added "
        "the next time a user runs coder config-ssh.",
        TextList(SSH_LINE),
        env="CODER_SSH_CONFIG_OPTIONS",
        json_path="config_ssh.sshconfigOptions",
        obeyed=True,
    ),
    _client_option(
        "CLI Upgrade Message",
        "The message that Coder's command line shows if its version differs from the server's "
        "version. Set it if you distribute the command line yourself.",
        Text(),
        env="CODER_CLI_UPGRADE_MESSAGE",
        obeyed=True,
    ),
    Option(
        "Write Config",
        "Print the configuration as a YAML file and exit. Use the output to create your own "
        "configuration file.",
        Bool(),
        flag="write-config",
        yaml="",
        group=CONFIG,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Support Links",
        "The support links in the dashboard, each with name, target, icon and location. They "
        "replace the built-in links.",
        Links(),
        env="CODER_SUPPORT_LINKS",
        json_path="support.links",
        obeyed=True,
    ),
    Option(
        "External Auth Providers",
        "The services, such as Git hosts, whose accounts users can connect. You can also configure "
        "services with numbered variables, such as CODER_EXTERNAL_AUTH_0_ID. They are added to "
        "this list.",
        ExternalAuth(),
        flag="external-auth-providers",
        json_path="external_auth",
        hidden=True,
    ),
    Option(
        "External Auth GitHub Default Provider Enable",
        "Let users connect their GitHub accounts through the GitHub application of the company "
        "Coder, if you have not configured a provider for GitHub.",
        Bool(),
        env="CODER_EXTERNAL_AUTH_GITHUB_DEFAULT_PROVIDER_ENABLE",
        default="true",
        documented=False,
    ),
    Option(
        "Custom wgtunnel Host",
        "The host of a tunnel that gives a trial deployment a public URL.",
        Text(),
        env="WGTUNNEL_HOST",
        flag="wg-tunnel-host",
        yaml="wgtunnelHost",
        hidden=True,
        remark="coderapi opens no tunnel. If no access URL is set, it uses the address that it "
        "listens on.",
    ),
    Option(
        "Proxy Health Check Interval",
        "How often the health of workspace proxies is checked.",
        Duration(),
        env="CODER_PROXY_HEALTH_INTERVAL",
        json_path="proxy_health_status_interval",
        default="1m0s",
        group=HTTP,
    ),
    Option(
        "Default Quiet Hours Schedule",
        "The default time of day at which workspaces may be stopped or updated, as a cron "
        "expression with a time zone. Users can choose another time.",
        Text(),
        env="CODER_QUIET_HOURS_DEFAULT_SCHEDULE",
        flag="default-quiet-hours-schedule",
        json_path="user_quiet_hours_schedule.default_schedule",
        default="CRON_TZ=UTC 0 0 * * *",
        group=QUIET_HOURS,
    ),
    Option(
        "Allow Custom Quiet Hours",
        "Let users choose their own quiet hours. If it is disabled, the default schedule applies "
        "to all users.",
        Bool(),
        env="CODER_ALLOW_CUSTOM_QUIET_HOURS",
        json_path="user_quiet_hours_schedule.allow_user_custom",
        default="true",
        group=QUIET_HOURS,
    ),
    _client_option(
        "Web Terminal Renderer",
        "The renderer of the terminal in the browser: canvas, webgl or dom. Change it if browsers "
        "have display problems.",
        Text(),
        env="CODER_WEB_TERMINAL_RENDERER",
        default="canvas",
    ),
    Option(
        "Allow Workspace Renames",
        "Let users rename workspaces. Do not enable it: renaming can delete data if a template "
        "uses the workspace's name for a disk.",
        Bool(),
        env="CODER_ALLOW_WORKSPACE_RENAMES",
        default="false",
        deprecated=True,
    ),
    Option(
        "Health Check Refresh",
        "How often Coder's server repeats its health check.",
        Duration(),
        env="CODER_HEALTH_CHECK_REFRESH",
        default="10m0s",
        group=HEALTH_CHECK,
        remark="coderapi checks its health at each request to /readyz.",
    ),
    Option(
        "Health Check Threshold: Database",
        "If the latency of the database exceeds this time, Coder's health page shows a warning.",
        Duration(),
        env="CODER_HEALTH_CHECK_THRESHOLD_DATABASE",
        default="15ms",
        group=HEALTH_CHECK,
        remark="coderapi does not have a health page.",
    ),
)
