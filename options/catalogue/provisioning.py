"""Who builds workspaces."""

from __future__ import annotations

from options.catalogue.groups import PROVISIONING
from options.option import Option
from options.values import Duration, Integer, Text, TextList
from options.values.rules import one_of

PROVISIONING_OPTIONS = (
    Option(
        name="Provisioner Daemons",
        description=(
            "How many provisioners run inside Coder's server, which is how many builds run at "
            "once. Zero leaves all builds to provisioners elsewhere."
        ),
        type=Integer(),
        json_path="provisioner.daemons",
        env="CODER_PROVISIONER_DAEMONS",
        flag="provisioner-daemons",
        yaml="daemons",
        default="3",
        group=PROVISIONING,
    ),
    Option(
        name="Provisioner Daemon Types",
        description=(
            "What the provisioners inside the server can run: terraform, or echo for tests."
        ),
        type=TextList(one_of("terraform", "echo")),
        json_path="provisioner.daemon_types",
        env="CODER_PROVISIONER_TYPES",
        flag="provisioner-types",
        yaml="daemonTypes",
        default="terraform",
        group=PROVISIONING,
        hidden=True,
    ),
    Option(
        name="Poll Interval",
        description="Formerly how often a provisioner asked for work. It has no effect any more.",
        type=Duration(),
        json_path="provisioner.daemon_poll_interval",
        env="CODER_PROVISIONER_DAEMON_POLL_INTERVAL",
        flag="provisioner-daemon-poll-interval",
        yaml="daemonPollInterval",
        default="1s",
        group=PROVISIONING,
        deprecated=True,
    ),
    Option(
        name="Poll Jitter",
        description=(
            "Formerly by how much the asking for work was spread out. It has no effect any more."
        ),
        type=Duration(),
        json_path="provisioner.daemon_poll_jitter",
        env="CODER_PROVISIONER_DAEMON_POLL_JITTER",
        flag="provisioner-daemon-poll-jitter",
        yaml="daemonPollJitter",
        default="100ms",
        group=PROVISIONING,
        deprecated=True,
    ),
    Option(
        name="Force Cancel Interval",
        description=(
            "How long a cancelled build may take to end by itself before it is ended by force."
        ),
        type=Duration(),
        json_path="provisioner.force_cancel_interval",
        env="CODER_PROVISIONER_FORCE_CANCEL_INTERVAL",
        flag="provisioner-force-cancel-interval",
        yaml="forceCancelInterval",
        default="10m0s",
        group=PROVISIONING,
    ),
    Option(
        name="Provisioner Daemon Pre-shared Key (PSK)",
        description=(
            "The shared secret with which provisioners on other machines prove that they belong "
            "here. At least as long as a good password."
        ),
        type=Text(),
        json_path="provisioner.daemon_psk",
        env="CODER_PROVISIONER_DAEMON_PSK",
        flag="provisioner-daemon-psk",
        group=PROVISIONING,
        secret=True,
    ),
)
