"""The configuration itself."""

from __future__ import annotations

from options.catalogue.groups import CONFIG
from options.option import Option
from options.values import Bool, ConfigPath

CONFIG_OPTIONS = (
    Option(
        name="Config Path",
        description=(
            "The YAML file that options are read from. What flags and the environment say is "
            "stronger."
        ),
        type=ConfigPath(),
        json_path="config",
        env="CODER_CONFIG_PATH",
        flag="config",
        flag_shorthand="c",
        group=CONFIG,
        obeyed=True,
    ),
    Option(
        name="Write Config",
        description=(
            "Print the configuration as a YAML file and end. A good start for a file of your own."
        ),
        type=Bool(),
        json_path="write_config",
        flag="write-config",
        group=CONFIG,
        external_workspace_proxies=True,
        obeyed=True,
    ),
)
