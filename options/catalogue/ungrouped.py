"""Options that stand outside any group."""

from __future__ import annotations

from options.option import Option
from options.values import URL, Bool, Duration, ExternalAuth, Links, Text, TextList

UNGROUPED_OPTIONS = (
    Option(
        name="Autobuild Poll Interval",
        description=(
            "How often workspaces are looked through for starts and stops that have fallen due. A "
            "longer interval takes load off the database and makes schedules less punctual."
        ),
        type=Duration(),
        json_path="autobuild_poll_interval",
        env="CODER_AUTOBUILD_POLL_INTERVAL",
        flag="autobuild-poll-interval",
        yaml="autobuildPollInterval",
        default="1m0s",
        hidden=True,
    ),
    Option(
        name="Job Reaper Detect Interval",
        description=(
            "How often provisioner jobs that make no progress are looked for and ended. Shorten it "
            "if stuck builds block people for too long."
        ),
        type=Duration(),
        json_path="job_hang_detector_interval",
        env="CODER_JOB_HANG_DETECTOR_INTERVAL",
        flag="job-hang-detector-interval",
        yaml="jobHangDetectorInterval",
        default="1m0s",
        hidden=True,
    ),
    Option(
        name="Experiments",
        description=(
            "Unfinished features to switch on, by name; * stands for those that are held to be "
            "safe. Expect them to change or go."
        ),
        type=TextList(),
        json_path="experiments",
        env="CODER_EXPERIMENTS",
        flag="experiments",
        yaml="experiments",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    Option(
        name="Update Check",
        description=(
            "Look once a day for a newer release of Coder and tell owners of it. Switch it off "
            "where the server cannot reach the internet."
        ),
        type=Bool(),
        json_path="update_check",
        env="CODER_UPDATE_CHECK",
        flag="update-check",
        yaml="updateCheck",
        default="true",
        obeyed=True,
    ),
    Option(
        name="Enable swagger endpoint",
        description="Serve a page that describes the API and lets people try it out.",
        type=Bool(),
        json_path="swagger.enable",
        env="CODER_SWAGGER_ENABLE",
        flag="swagger-enable",
        yaml="enableSwagger",
        obeyed=True,
    ),
    Option(
        name="Cache Directory",
        description=(
            "Where Coder's server keeps files that it can make again, such as downloaded Terraform "
            "providers. Put it on a disk with room."
        ),
        type=Text(),
        json_path="cache_directory",
        env="CODER_CACHE_DIRECTORY",
        flag="cache-dir",
        yaml="cacheDir",
        default="~/.cache/coder",
    ),
    Option(
        name="Ephemeral Deployment",
        description=(
            "Run a throw-away deployment whose database and files are gone when it ends. For "
            "trying things out."
        ),
        type=Bool(),
        json_path="ephemeral_deployment",
        env="CODER_EPHEMERAL",
        flag="ephemeral",
        yaml="ephemeralDeployment",
        hidden=True,
    ),
    Option(
        name="Metrics Cache Refresh Interval",
        description="How often Coder's server works out the figures on template usage again.",
        type=Duration(),
        json_path="metrics_cache_refresh_interval",
        env="CODER_METRICS_CACHE_REFRESH_INTERVAL",
        flag="metrics-cache-refresh-interval",
        default="4h0m0s",
        hidden=True,
        remark="This service keeps no such cache; its statistics follow the agent stats interval.",
    ),
    Option(
        name="Agent Stat Refresh Interval",
        description=(
            "How often agents report their figures, and so how often the deployment's statistics "
            "are renewed."
        ),
        type=Duration(),
        json_path="agent_stat_refresh_interval",
        env="CODER_AGENT_STATS_REFRESH_INTERVAL",
        flag="agent-stats-refresh-interval",
        default="30s",
        hidden=True,
        obeyed=True,
    ),
    Option(
        name="Agent Fallback Troubleshooting URL",
        description=(
            "Where people are sent for help when an agent misbehaves and its template names no "
            "page of its own."
        ),
        type=URL(),
        json_path="agent_fallback_troubleshooting_url",
        env="CODER_AGENT_FALLBACK_TROUBLESHOOTING_URL",
        flag="agent-fallback-troubleshooting-url",
        yaml="agentFallbackTroubleshootingURL",
        default="https://coder.com/docs/admin/templates/troubleshooting",
        hidden=True,
    ),
    Option(
        name="Support Links",
        description=(
            "Links to help that the dashboard shows, as a list of name, target, icon and location. "
            "They replace the built-in ones."
        ),
        type=Links(),
        json_path="support.links",
        env="CODER_SUPPORT_LINKS",
        flag="support-links",
        yaml="supportLinks",
        obeyed=True,
    ),
    Option(
        name="External Auth Providers",
        description=(
            "The services, such as Git hosts, that people connect their accounts with, as a list. "
            "The numbered CODER_EXTERNAL_AUTH variables add to it."
        ),
        type=ExternalAuth(),
        json_path="external_auth",
        flag="external-auth-providers",
        yaml="externalAuthProviders",
        hidden=True,
    ),
    Option(
        name="Custom wgtunnel Host",
        description="The host of the tunnel that gives a trial deployment a public address.",
        type=Text(),
        json_path="wgtunnel_host",
        env="WGTUNNEL_HOST",
        flag="wg-tunnel-host",
        yaml="wgtunnelHost",
        hidden=True,
        remark=(
            "This service opens no tunnel; without an access URL it uses the address that it "
            "listens on."
        ),
    ),
    Option(
        name="Allow Workspace Renames",
        description=(
            "Let people rename workspaces. Templates that use the name for disks can lose data, so "
            "leave it off."
        ),
        type=Bool(),
        json_path="allow_workspace_renames",
        env="CODER_ALLOW_WORKSPACE_RENAMES",
        flag="allow-workspace-renames",
        yaml="allowWorkspaceRenames",
        default="false",
        deprecated=True,
    ),
    Option(
        name="Enable Authorization Recordings",
        description=(
            "Record every authorisation decision of a request for its developer to look at. Only "
            "for builds made for development."
        ),
        type=Bool(),
        json_path="enable_authz_recording",
        env="CODER_ENABLE_AUTHZ_RECORDINGS",
        flag="enable-authz-recordings",
        default="false",
        hidden=True,
    ),
)
