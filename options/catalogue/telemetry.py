"""Usage figures for the makers of Coder."""

from __future__ import annotations

from options.catalogue.groups import TELEMETRY
from options.option import Option
from options.values import URL, Bool

TELEMETRY_OPTIONS = (
    Option(
        name="Telemetry Enable",
        description=(
            "Say that the deployment may send usage figures to the makers of Coder. Switch it off "
            "if nothing may leave your network."
        ),
        type=Bool(),
        json_path="telemetry.enable",
        env="CODER_TELEMETRY_ENABLE",
        flag="telemetry",
        yaml="enable",
        default="true",
        group=TELEMETRY,
        remark="This service sends nothing to anybody; it tells clients what is set here.",
    ),
    Option(
        name="Telemetry (backwards compatibility)",
        description="The old name of the telemetry switch. Use Telemetry Enable instead.",
        type=Bool(),
        json_path="telemetry.enable",
        env="CODER_TELEMETRY",
        flag="telemetry-enable",
        group=TELEMETRY,
        hidden=True,
        use_instead=("Telemetry Enable",),
        remark="This service sends nothing to anybody; it tells clients what is set here.",
    ),
    Option(
        name="Telemetry URL",
        description=(
            "Where usage figures are sent. Change it only to look at them with a server of your "
            "own."
        ),
        type=URL(),
        json_path="telemetry.url",
        env="CODER_TELEMETRY_URL",
        flag="telemetry-url",
        yaml="url",
        default="https://telemetry.coder.com",
        group=TELEMETRY,
        hidden=True,
        remark="This service sends nothing to anybody.",
    ),
)
