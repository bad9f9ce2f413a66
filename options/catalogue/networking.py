"""URLs, listeners, certificates and relays: the ways to reach the server."""

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
        "The address under which people and workspaces reach this deployment, with http or https. "
        "Set it before anybody signs in from another machine; without it the address that the "
        "server listens on is used.",
        URL(schemes=("http", "https")),
        env="CODER_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Wildcard Access URL",
        "The pattern of host names under which workspace applications are served, such as "
        "*.example.com. Set it when applications need a host name of their own, with a DNS record "
        "to match.",
        Text(WILDCARD_HOST),
        env="CODER_WILDCARD_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Docs URL",
        "Where links to documentation lead. Change it when you keep an edited or offline copy of "
        "the manual.",
        URL(),
        env="CODER_DOCS_URL",
        default="https://coder.com/docs",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Redirect to Access URL",
        "Send browsers that arrive under another host name on to the access URL. Switch it on when "
        "several names lead here and one should win.",
        Bool(),
        env="CODER_REDIRECT_TO_ACCESS_URL",
        obeyed=True,
    ),
    Option(
        "Autobuild Poll Interval",
        "How often workspaces are searched for starts and stops that are due. A "
        "longer interval takes load off the database and makes schedules less punctual.",
        Duration(),
        env="CODER_AUTOBUILD_POLL_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "Job Reaper Detect Interval",
        "How often provisioner jobs that make no progress are looked for and ended. Shorten it if "
        "stuck builds block people for too long.",
        Duration(),
        env="CODER_JOB_HANG_DETECTOR_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "HTTP Address",
        "The address and port for plain HTTP; empty switches plain HTTP off. Use 0.0.0.0 as the "
        "host to be reachable from other machines.",
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
        "The address and port for HTTPS. It counts only while TLS is enabled.",
        Address(),
        env="CODER_TLS_ADDRESS",
        default="127.0.0.1:3443",
        obeyed=True,
    ),
    _networking_option(
        "Address",
        "The old way to set the address of the listener that is in use. Set the HTTP address and "
        "the TLS address instead.",
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
        "Serve HTTPS with the given certificate. Leave it off when a proxy in front of the server "
        "takes care of TLS.",
        Bool(),
        env="CODER_TLS_ENABLE",
        obeyed=True,
    ),
    _tls_option(
        "Redirect HTTP to HTTPS",
        "The old switch that sends plain HTTP requests on to HTTPS. Use the redirect to the access "
        "URL instead.",
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
        "The files that hold the certificate with its intermediate ones, in PEM format. Required "
        "once TLS is enabled, together with a key file for each.",
        TextList(),
        env="CODER_TLS_CERT_FILE",
        yaml="certFiles",
        json_path="tls.cert_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client CA Files",
        "A file with the certificate authorities that client certificates are checked against, in "
        "PEM format. Needed only when clients must prove who they are.",
        Text(),
        env="CODER_TLS_CLIENT_CA_FILE",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Auth",
        "Whether clients must show a certificate: none, request, require-any, verify-if-given or "
        "require-and-verify. Only none and require-and-verify can be served here; for the others "
        "put a proxy in front.",
        Text(one_of("none", "request", "require-any", "verify-if-given", "require-and-verify")),
        env="CODER_TLS_CLIENT_AUTH",
        default="none",
        obeyed=True,
    ),
    _tls_option(
        "TLS Key Files",
        "The files with the private keys that belong to the certificates, in PEM format and the "
        "same order.",
        TextList(),
        env="CODER_TLS_KEY_FILE",
        yaml="keyFiles",
        json_path="tls.key_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Minimum Version",
        "The oldest TLS version that clients may speak: tls10, tls11, tls12 or tls13. The two "
        "oldest are insecure and cannot be served here.",
        Text(one_of("tls10", "tls11", "tls12", "tls13")),
        env="CODER_TLS_MIN_VERSION",
        default="tls12",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Cert File",
        "The certificate that Coder's own outgoing HTTPS requests present. Needed where its peers "
        "ask for client certificates.",
        Text(),
        env="CODER_TLS_CLIENT_CERT_FILE",
    ),
    _tls_option(
        "TLS Client Key File",
        "The private key that belongs to the certificate for outgoing HTTPS requests.",
        Text(),
        env="CODER_TLS_CLIENT_KEY_FILE",
    ),
    _tls_option(
        "TLS Ciphers",
        "The cipher suites that may be used with TLS 1.2 and older. Leave it empty unless a policy "
        "prescribes a list.",
        TextList(),
        env="CODER_TLS_CIPHERS",
        yaml="tlsCiphers",
        json_path="tls.supported_ciphers",
        remark="The HTTP server of this service has no cipher list, so a list stops the start; put "
        "a proxy in front.",
    ),
    _tls_option(
        "TLS Allow Insecure Ciphers",
        "Let the list of cipher suites contain ones that are known to be weak. Only for clients "
        "that cannot be replaced.",
        Bool(),
        env="CODER_TLS_ALLOW_INSECURE_CIPHERS",
        yaml="tlsAllowInsecureCiphers",
        json_path="tls.allow_insecure_ciphers",
        default="false",
        remark="The HTTP server of this service has no cipher list, so this stops the start when "
        "it is on; put a proxy in front.",
    ),
    _derp_option(
        "DERP Server Enable",
        "Run the relay that carries workspace traffic when no direct connection is possible. "
        "Switch it off only if other relays are configured.",
        Bool(),
        env="CODER_DERP_SERVER_ENABLE",
        default="true",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Server Region ID",
        "The number of the built-in relay's region. Change it if it collides with a region of your "
        "own relay map.",
        Integer(),
        env="CODER_DERP_SERVER_REGION_ID",
        default="999",
        hidden=True,
    ),
    _derp_option(
        "DERP Server Region Code",
        "The short code of the built-in relay's region in relay maps and latency figures.",
        Text(),
        env="CODER_DERP_SERVER_REGION_CODE",
        default="coder",
        hidden=True,
    ),
    _derp_option(
        "DERP Server Region Name",
        "The name of the built-in relay's region that people see.",
        Text(),
        env="CODER_DERP_SERVER_REGION_NAME",
        default="Coder Embedded Relay",
    ),
    _derp_option(
        "DERP Server STUN Addresses",
        "The STUN servers, as host:port, with which clients find out their public address. The "
        "single word disable prevents direct connections.",
        TextList(),
        env="CODER_DERP_SERVER_STUN_ADDRESSES",
        default="stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,stun3.l.google.com:19302,stun4.l.google.com:19302",
    ),
    _derp_option(
        "DERP Server Relay URL",
        "The address under which several Coder servers reach this one to pass relayed traffic on. "
        "Needed only with more than one server.",
        URL(),
        env="CODER_DERP_SERVER_RELAY_URL",
        enterprise=True,
        external_workspace_proxies=True,
    ),
    _derp_option(
        "Block Direct Connections",
        "Send all workspace traffic through a relay and never directly between client and "
        "workspace. For networks where such connections are forbidden.",
        Bool(),
        env="CODER_BLOCK_DIRECT",
        flag="block-direct-connections",
        yaml="blockDirect",
        json_path="derp.config.block_direct",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Force WebSockets",
        "Let relay traffic always use WebSockets. Helps where a proxy breaks other protocol "
        "upgrades.",
        Bool(),
        env="CODER_DERP_FORCE_WEBSOCKETS",
        yaml="forceWebSockets",
        json_path="derp.config.force_websockets",
    ),
    _derp_option(
        "DERP Config URL",
        "Where a map of further relays is fetched from at start, as JSON. Useful when the relays "
        "are run by somebody else.",
        Text(),
        env="CODER_DERP_CONFIG_URL",
        yaml="url",
        json_path="derp.config.url",
    ),
    _derp_option(
        "DERP Config Path",
        "A local file with a map of further relays, as JSON. Use it where the server cannot fetch "
        "one.",
        Text(),
        env="CODER_DERP_CONFIG_PATH",
        yaml="configPath",
        json_path="derp.config.path",
    ),
)
