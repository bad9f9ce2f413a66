"""Command lines, editors and the dashboard."""

from __future__ import annotations

from options.catalogue.groups import CLIENT
from options.option import Option
from options.values import Bool, Text, TextList
from options.values.rules import HOST_SUFFIX, SSH_LINE

CLIENT_OPTIONS = (
    Option(
        name="SSH Host Prefix",
        description=(
            "What stands before a workspace's name in the SSH host names that command lines write. "
            "Change it if two deployments are used from one machine."
        ),
        type=Text(),
        json_path="config_ssh.deploymentName",
        env="CODER_SSH_HOSTNAME_PREFIX",
        flag="ssh-hostname-prefix",
        yaml="sshHostnamePrefix",
        default="coder.",
        group=CLIENT,
        obeyed=True,
    ),
    Option(
        name="Workspace Hostname Suffix",
        description=(
            "The last part of workspace host names in SSH and in Coder's VPN, without a leading "
            "dot."
        ),
        type=Text(HOST_SUFFIX),
        json_path="workspace_hostname_suffix",
        env="CODER_WORKSPACE_HOSTNAME_SUFFIX",
        flag="workspace-hostname-suffix",
        yaml="workspaceHostnameSuffix",
        default="coder",
        group=CLIENT,
        obeyed=True,
    ),
    Option(
        name="SSH Config Options",
        description=(
            "Lines for the SSH configuration of everybody's machine, each as key=value or key "
            "value. They take effect when somebody runs the SSH set-up again."
        ),
        type=TextList(SSH_LINE),
        json_path="config_ssh.sshconfigOptions",
        env="CODER_SSH_CONFIG_OPTIONS",
        flag="ssh-config-options",
        yaml="sshConfigOptions",
        group=CLIENT,
        obeyed=True,
    ),
    Option(
        name="CLI Upgrade Message",
        description=(
            "What a command line of another version tells its user to do. Set it if people get the "
            "command line from you."
        ),
        type=Text(),
        json_path="cli_upgrade_message",
        env="CODER_CLI_UPGRADE_MESSAGE",
        flag="cli-upgrade-message",
        yaml="cliUpgradeMessage",
        group=CLIENT,
        obeyed=True,
    ),
    Option(
        name="Web Terminal Renderer",
        description=(
            "What draws the terminal in the browser: canvas, webgl or dom. Change it when browsers "
            "draw it badly."
        ),
        type=Text(),
        json_path="web_terminal_renderer",
        env="CODER_WEB_TERMINAL_RENDERER",
        flag="web-terminal-renderer",
        yaml="webTerminalRenderer",
        default="canvas",
        group=CLIENT,
    ),
    Option(
        name="Hide AI Tasks",
        description=(
            "Leave the pages for AI tasks out of the dashboard. For deployments that do not offer "
            "them."
        ),
        type=Bool(),
        json_path="hide_ai_tasks",
        env="CODER_HIDE_AI_TASKS",
        flag="hide-ai-tasks",
        yaml="hideAITasks",
        default="false",
        group=CLIENT,
    ),
)
