"""The configuration file, command lines, editors and the dashboard."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import CLIENT, CONFIG, HEALTH_CHECK, HTTP, QUIET_HOURS
from options.option import Option
from options.values import Bool, ConfigPath, Duration, ExternalAuth, Links, Text, TextList
from options.values.rules import HOST_SUFFIX, SSH_LINE

_client_option = partial(Option, group=CLIENT)

CLIENT_OPTIONS = (
    Option(
        "Config Path",
        "The YAML file that options are read from. What flags and the environment say is stronger.",
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
        "What stands before a workspace's name in the SSH host names that command lines write. "
        "Change it if two deployments are used from one machine.",
        Text(),
        env="CODER_SSH_HOSTNAME_PREFIX",
        json_path="config_ssh.deploymentName",
        default="coder.",
        obeyed=True,
    ),
    _client_option(
        "Workspace Hostname Suffix",
        "The last part of workspace host names in SSH and in Coder's VPN, without a leading dot.",
        Text(HOST_SUFFIX),
        env="CODER_WORKSPACE_HOSTNAME_SUFFIX",
        default="coder",
        obeyed=True,
    ),
    _client_option(
        "SSH Config Options",
        "Lines for the SSH configuration of everybody's machine, each as key=value or key value. "
        "They take effect when somebody runs the SSH set-up again.",
        TextList(SSH_LINE),
        env="CODER_SSH_CONFIG_OPTIONS",
        json_path="config_ssh.sshconfigOptions",
        obeyed=True,
    ),
    _client_option(
        "CLI Upgrade Message",
        "What a command line of another version tells its user to do. Set it if people get the "
        "command line from you.",
        Text(),
        env="CODER_CLI_UPGRADE_MESSAGE",
        obeyed=True,
    ),
    Option(
        "Write Config",
        "Print the configuration as a YAML file and end. A good start for a file of your own.",
        Bool(),
        flag="write-config",
        yaml="",
        group=CONFIG,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        "Support Links",
        "Links to help that the dashboard shows, as a list of name, target, icon and location. "
        "They replace the built-in ones.",
        Links(),
        env="CODER_SUPPORT_LINKS",
        json_path="support.links",
        obeyed=True,
    ),
    Option(
        "External Auth Providers",
        "The services, such as Git hosts, that people connect their accounts with, as a list. The "
        "numbered CODER_EXTERNAL_AUTH variables add to it.",
        ExternalAuth(),
        flag="external-auth-providers",
        json_path="external_auth",
        hidden=True,
    ),
    Option(
        "Custom wgtunnel Host",
        "The host of the tunnel that gives a trial deployment a public address.",
        Text(),
        env="WGTUNNEL_HOST",
        flag="wg-tunnel-host",
        yaml="wgtunnelHost",
        hidden=True,
        remark="This service opens no tunnel; without an access URL it uses its own address.",
    ),
    Option(
        "Proxy Health Check Interval",
        "How often workspace proxies are asked whether they are well.",
        Duration(),
        env="CODER_PROXY_HEALTH_INTERVAL",
        json_path="proxy_health_status_interval",
        default="1m0s",
        group=HTTP,
    ),
    Option(
        "Default Quiet Hours Schedule",
        "When workspaces may be stopped or updated for people who have not chosen a time: a cron "
        "line for one moment a day, with a time zone.",
        Text(),
        env="CODER_QUIET_HOURS_DEFAULT_SCHEDULE",
        flag="default-quiet-hours-schedule",
        json_path="user_quiet_hours_schedule.default_schedule",
        default="CRON_TZ=UTC 0 0 * * *",
        group=QUIET_HOURS,
    ),
    Option(
        "Allow Custom Quiet Hours",
        "Let people choose their own quiet hours. Switch it off if everybody should keep the "
        "default.",
        Bool(),
        env="CODER_ALLOW_CUSTOM_QUIET_HOURS",
        json_path="user_quiet_hours_schedule.allow_user_custom",
        default="true",
        group=QUIET_HOURS,
    ),
    _client_option(
        "Web Terminal Renderer",
        "What draws the terminal in the browser: canvas, webgl or dom. Change it when browsers "
        "draw it badly.",
        Text(),
        env="CODER_WEB_TERMINAL_RENDERER",
        default="canvas",
    ),
    Option(
        "Allow Workspace Renames",
        "Let people rename workspaces. Templates that use the name for disks can lose data, so "
        "leave it off.",
        Bool(),
        env="CODER_ALLOW_WORKSPACE_RENAMES",
        default="false",
        deprecated=True,
    ),
    Option(
        "Health Check Refresh",
        "How often Coder's server checks itself again.",
        Duration(),
        env="CODER_HEALTH_CHECK_REFRESH",
        default="10m0s",
        group=HEALTH_CHECK,
        remark="This service checks itself when /readyz is asked, and keeps no result.",
    ),
    Option(
        "Health Check Threshold: Database",
        "How slow the database may answer before Coder's health page calls it slow.",
        Duration(),
        env="CODER_HEALTH_CHECK_THRESHOLD_DATABASE",
        default="15ms",
        group=HEALTH_CHECK,
        remark="This service has no health page with thresholds.",
    ),
)
