"""URLs, listeners, certificates and relays."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import DERP, HTTP, NETWORKING, TLS
from options.option import Option
from options.values import URL, Address, Bool, Duration, Integer, Text, TextList
from options.values.rules import WILDCARD_HOST, one_of

_networking_option = partial(Option, group=NETWORKING)
_tls_option = partial(Option, group=TLS, external_workspace_proxies=True)
_derp_option = partial(Option, group=DERP)

NETWORKING_OPTIONS = (
    _networking_option(
        "Access URL",
        "The URL of this deployment for users and workspaces, with http or https. Set it before "
        "users sign in from other machines. The default is the address that the server listens on.",
        URL(schemes=("http", "https")),
        env="CODER_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Wildcard Access URL",
        "The pattern of host names for workspace applications, such as *.example.com. Set it, and "
        "a matching DNS record, if applications need their own host names.",
        Text(WILDCARD_HOST),
        env="CODER_WILDCARD_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Docs URL",
        "The target of links to the documentation. Change it if you host a copy.",
        URL(),
        env="CODER_DOCS_URL",
        default="https://coder.com/docs",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Redirect to Access URL",
        "Redirect requests for other host names to the access URL. Enable it if this server has "
        "several names.",
        Bool(),
        env="CODER_REDIRECT_TO_ACCESS_URL",
        obeyed=True,
    ),
    Option(
        "Autobuild Poll Interval",
        "How often due starts and stops of workspaces are looked up. A longer interval reduces the "
        "load on the database and delays schedules.",
        Duration(),
        env="CODER_AUTOBUILD_POLL_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "Job Reaper Detect Interval",
        "How often stuck provisioner jobs are looked up and ended. Shorten it if they block users "
        "for too long.",
        Duration(),
        env="CODER_JOB_HANG_DETECTOR_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "HTTP Address",
        "The address and port for HTTP. Empty disables HTTP. Use the host 0.0.0.0 to allow "
        "connections from other machines.",
        Text(),
        env="CODER_HTTP_ADDRESS",
        default="127.0.0.1:3000",
        empty_counts=True,
        group=HTTP,
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _tls_option(
        "TLS Address",
        "The address and port for HTTPS. It has no effect unless TLS is enabled.",
        Address(),
        env="CODER_TLS_ADDRESS",
        default="127.0.0.1:3443",
        obeyed=True,
    ),
    _networking_option(
        "Address",
        "The old option for the listener's address. Use the HTTP address and the TLS address "
        "instead.",
        Address(),
        env="CODER_ADDRESS",
        flag_shorthand="a",
        yaml="",
        hidden=True,
        external_workspace_proxies=True,
        use_instead=("HTTP Address", "TLS Address"),
        obeyed=True,
    ),
    _tls_option(
        "TLS Enable",
        "Serve HTTPS with the given certificate. Leave it off if a proxy terminates TLS.",
        Bool(),
        env="CODER_TLS_ENABLE",
        obeyed=True,
    ),
    _tls_option(
        "Redirect HTTP to HTTPS",
        "The old option for redirecting HTTP to HTTPS. Use the redirect to the access URL instead.",
        Bool(),
        env="CODER_TLS_REDIRECT_HTTP_TO_HTTPS",
        yaml="redirectHTTP",
        default="true",
        hidden=True,
        use_instead=("Redirect to Access URL",),
        obeyed=True,
    ),
    _tls_option(
        "TLS Certificate Files",
        "The files with the certificate and its intermediate certificates, in PEM format. TLS "
        "needs at least one, and a key file for each.",
        TextList(),
        env="CODER_TLS_CERT_FILE",
        yaml="certFiles",
        json_path="tls.cert_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client CA Files",
        "A file with the CA certificates for verifying client certificates, in PEM format. Needed "
        "only if clients must present a certificate.",
        Text(),
        env="CODER_TLS_CLIENT_CA_FILE",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Auth",
        "Whether clients must present a certificate: none, request, require-any, verify-if-given "
        "or require-and-verify. coderapi supports none and require-and-verify. For the others, use "
        "a proxy in front.",
        Text(one_of("none", "request", "require-any", "verify-if-given", "require-and-verify")),
        env="CODER_TLS_CLIENT_AUTH",
        default="none",
        obeyed=True,
    ),
    _tls_option(
        "TLS Key Files",
        "The files with the private keys of the certificates, in PEM format and in the same order.",
        TextList(),
        env="CODER_TLS_KEY_FILE",
        yaml="keyFiles",
        json_path="tls.key_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Minimum Version",
        "The oldest TLS version to accept: tls10, tls11, tls12 or tls13. The first two are "
        "insecure, and coderapi does not support them.",
        Text(one_of("tls10", "tls11", "tls12", "tls13")),
        env="CODER_TLS_MIN_VERSION",
        default="tls12",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Cert File",
        "The client certificate for Coder's outgoing HTTPS requests, if their servers ask for one.",
        Text(),
        env="CODER_TLS_CLIENT_CERT_FILE",
    ),
    _tls_option(
        "TLS Client Key File",
        "The private key of the certificate for outgoing HTTPS requests.",
        Text(),
        env="CODER_TLS_CLIENT_KEY_FILE",
    ),
    _tls_option(
        "TLS Ciphers",
        "The allowed cipher suites for TLS 1.2 and older. Leave it empty unless a policy "
        "prescribes a list.",
        TextList(),
        env="CODER_TLS_CIPHERS",
        yaml="tlsCiphers",
        json_path="tls.supported_ciphers",
        remark="coderapi does not support a list of ciphers, and fails to start with one. Use a "
        "proxy in front.",
    ),
    _tls_option(
        "TLS Allow Insecure Ciphers",
        "Allow weak cipher suites in the list. Use it only for clients that you cannot replace.",
        Bool(),
        env="CODER_TLS_ALLOW_INSECURE_CIPHERS",
        yaml="tlsAllowInsecureCiphers",
        json_path="tls.allow_insecure_ciphers",
        default="false",
        remark="coderapi does not support a list of ciphers, and fails to start with this option. "
        "Use a proxy in front.",
    ),
    _derp_option(
        "DERP Server Enable",
        "Run the relay for workspace traffic without a direct connection. Disable it only if you "
        "configure other relays.",
        Bool(),
        env="CODER_DERP_SERVER_ENABLE",
        default="true",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Server Region ID",
        "The region number of the built-in relay. Change it if your own relay map uses the same "
        "number.",
        Integer(),
        env="CODER_DERP_SERVER_REGION_ID",
        default="999",
        hidden=True,
    ),
    _derp_option(
        "DERP Server Region Code",
        "The short code of the built-in relay's region in relay maps and latency data.",
        Text(),
        env="CODER_DERP_SERVER_REGION_CODE",
        default="coder",
        hidden=True,
    ),
    _derp_option(
        "DERP Server Region Name",
        "The name of the built-in relay's region on pages.",
        Text(),
        env="CODER_DERP_SERVER_REGION_NAME",
        default="Coder Embedded Relay",
    ),
    _derp_option(
        "DERP Server STUN Addresses",
        "The STUN servers, as host:port, with which clients find their public address. The single "
        "word disable turns direct connections off.",
        TextList(),
        env="CODER_DERP_SERVER_STUN_ADDRESSES",
        default="stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,stun3.l.google.com:19302,stun4.l.google.com:19302",
    ),
    _derp_option(
        "DERP Server Relay URL",
        "The URL at which other Coder servers reach this one to forward relayed traffic. Needed "
        "only with several servers.",
        URL(),
        env="CODER_DERP_SERVER_RELAY_URL",
        enterprise=True,
        external_workspace_proxies=True,
    ),
    _derp_option(
        "Block Direct Connections",
        "Send all workspace traffic through a relay, for networks that forbid direct connections.",
        Bool(),
        env="CODER_BLOCK_DIRECT",
        flag="block-direct-connections",
        yaml="blockDirect",
        json_path="derp.config.block_direct",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Force WebSockets",
        "Always use WebSockets for relay traffic. Use it if a proxy breaks other protocol "
        "upgrades.",
        Bool(),
        env="CODER_DERP_FORCE_WEBSOCKETS",
        yaml="forceWebSockets",
        json_path="derp.config.force_websockets",
    ),
    _derp_option(
        "DERP Config URL",
        "The URL of a JSON map of further relays, fetched at the start. Use it if another team "
        "runs the relays.",
        Text(),
        env="CODER_DERP_CONFIG_URL",
        yaml="url",
        json_path="derp.config.url",
    ),
    _derp_option(
        "DERP Config Path",
        "A local JSON file with a map of further relays. Use it if the server cannot fetch one.",
        Text(),
        env="CODER_DERP_CONFIG_PATH",
        yaml="configPath",
        json_path="derp.config.path",
    ),
)
