"""When workspaces may be stopped."""

from __future__ import annotations

from options.catalogue.groups import USER_QUIET_HOURS_SCHEDULE
from options.option import Option
from options.values import Bool, Text

QUIET_HOURS_OPTIONS = (
    Option(
        name="Default Quiet Hours Schedule",
        description=(
            "When workspaces may be stopped or updated for people who have not chosen a time: a "
            "cron line for one moment a day, with a time zone."
        ),
        type=Text(),
        json_path="user_quiet_hours_schedule.default_schedule",
        env="CODER_QUIET_HOURS_DEFAULT_SCHEDULE",
        flag="default-quiet-hours-schedule",
        yaml="defaultQuietHoursSchedule",
        default="CRON_TZ=UTC 0 0 * * *",
        group=USER_QUIET_HOURS_SCHEDULE,
    ),
    Option(
        name="Allow Custom Quiet Hours",
        description=(
            "Let people choose their own quiet hours. Switch it off if everybody should keep the "
            "default."
        ),
        type=Bool(),
        json_path="user_quiet_hours_schedule.allow_user_custom",
        env="CODER_ALLOW_CUSTOM_QUIET_HOURS",
        flag="allow-custom-quiet-hours",
        yaml="allowCustomQuietHours",
        default="true",
        group=USER_QUIET_HOURS_SCHEDULE,
    ),
)
