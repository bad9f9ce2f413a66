"""Relays for workspace traffic."""

from __future__ import annotations

from options.catalogue.groups import NETWORKING_DERP
from options.option import Option
from options.values import URL, Bool, Integer, Text, TextList

DERP_OPTIONS = (
    Option(
        name="DERP Server Enable",
        description=(
            "Run the relay that carries workspace traffic when no direct connection comes about. "
            "Switch it off only if other relays are configured."
        ),
        type=Bool(),
        json_path="derp.server.enable",
        env="CODER_DERP_SERVER_ENABLE",
        flag="derp-server-enable",
        yaml="enable",
        default="true",
        group=NETWORKING_DERP,
        external_workspace_proxies=True,
    ),
    Option(
        name="DERP Server Region ID",
        description=(
            "The number of the built-in relay's region. Change it if it collides with a region of "
            "your own relay map."
        ),
        type=Integer(),
        json_path="derp.server.region_id",
        env="CODER_DERP_SERVER_REGION_ID",
        flag="derp-server-region-id",
        yaml="regionID",
        default="999",
        group=NETWORKING_DERP,
        hidden=True,
    ),
    Option(
        name="DERP Server Region Code",
        description=(
            "The short code of the built-in relay's region in relay maps and latency figures."
        ),
        type=Text(),
        json_path="derp.server.region_code",
        env="CODER_DERP_SERVER_REGION_CODE",
        flag="derp-server-region-code",
        yaml="regionCode",
        default="coder",
        group=NETWORKING_DERP,
        hidden=True,
    ),
    Option(
        name="DERP Server Region Name",
        description="The name of the built-in relay's region that people see.",
        type=Text(),
        json_path="derp.server.region_name",
        env="CODER_DERP_SERVER_REGION_NAME",
        flag="derp-server-region-name",
        yaml="regionName",
        default="Coder Embedded Relay",
        group=NETWORKING_DERP,
    ),
    Option(
        name="DERP Server STUN Addresses",
        description=(
            "The STUN servers, as host:port, with which clients find out their public address. The "
            "single word disable prevents direct connections."
        ),
        type=TextList(),
        json_path="derp.server.stun_addresses",
        env="CODER_DERP_SERVER_STUN_ADDRESSES",
        flag="derp-server-stun-addresses",
        yaml="stunAddresses",
        default=(
            "stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,"
            "stun3.l.google.com:19302,stun4.l.google.com:19302"
        ),
        group=NETWORKING_DERP,
    ),
    Option(
        name="DERP Server Relay URL",
        description=(
            "The address under which several Coder servers reach this one to pass relayed traffic "
            "on. Needed only with more than one server."
        ),
        type=URL(),
        json_path="derp.server.relay_url",
        env="CODER_DERP_SERVER_RELAY_URL",
        flag="derp-server-relay-url",
        yaml="relayURL",
        group=NETWORKING_DERP,
        enterprise=True,
        external_workspace_proxies=True,
    ),
    Option(
        name="Block Direct Connections",
        description=(
            "Send all workspace traffic through a relay and never directly between client and "
            "workspace. For networks where such connections are forbidden."
        ),
        type=Bool(),
        json_path="derp.config.block_direct",
        env="CODER_BLOCK_DIRECT",
        flag="block-direct-connections",
        yaml="blockDirect",
        group=NETWORKING_DERP,
        external_workspace_proxies=True,
    ),
    Option(
        name="DERP Force WebSockets",
        description=(
            "Let relay traffic always use WebSockets. Helps where a proxy breaks other protocol "
            "upgrades."
        ),
        type=Bool(),
        json_path="derp.config.force_websockets",
        env="CODER_DERP_FORCE_WEBSOCKETS",
        flag="derp-force-websockets",
        yaml="forceWebSockets",
        group=NETWORKING_DERP,
    ),
    Option(
        name="DERP Config URL",
        description=(
            "Where a map of further relays is fetched from at start, as JSON. Useful when the "
            "relays are run by somebody else."
        ),
        type=Text(),
        json_path="derp.config.url",
        env="CODER_DERP_CONFIG_URL",
        flag="derp-config-url",
        yaml="url",
        group=NETWORKING_DERP,
    ),
    Option(
        name="DERP Config Path",
        description=(
            "A local file with a map of further relays, as JSON. Use it where the server cannot "
            "fetch one."
        ),
        type=Text(),
        json_path="derp.config.path",
        env="CODER_DERP_CONFIG_PATH",
        flag="derp-config-path",
        yaml="configPath",
        group=NETWORKING_DERP,
    ),
)
