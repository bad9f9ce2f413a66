"""Options for URLs, listeners, TLS certificates and relays."""

from __future__ import annotations

from functools import partial

from options.catalogue.groups import DERP, HTTP, NETWORKING, TLS
from options.option import Option
from options.values.addresses import Address
from options.values.lists import TextList
from options.values.rules import WILDCARD_HOST, one_of
from options.values.scalars import Bool, Duration, Integer, Text
from options.values.urls import URL

_networking_option = partial(Option, group=NETWORKING)
_tls_option = partial(Option, group=TLS, external_workspace_proxies=True)
_derp_option = partial(Option, group=DERP)

NETWORKING_OPTIONS = (
    _networking_option(
        "Access URL",
        "The URL at which users and workspaces reach this deployment, with http or https. Set it "
        "if users connect from other machines. The default is the address that the server listens "
        "on.",
        URL(schemes=("http", "https")),
        env="CODER_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Wildcard Access URL",
        "The pattern for host names of workspace applications, such as *.example.com. Set it if "
        "applications need their own host names. A matching wildcard DNS record is also required.",
        Text(WILDCARD_HOST),
        env="CODER_WILDCARD_ACCESS_URL",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Docs URL",
        "The URL of the documentation that pages link to. Change it if you host a copy of the "
        "documentation.",
        URL(),
        env="CODER_DOCS_URL",
        default="https://coder.com/docs",
        external_workspace_proxies=True,
        obeyed=True,
    ),
    _networking_option(
        "Redirect to Access URL",
        "Redirect requests for other host names to the access URL. Enable it if this server has "
        "several host names.",
        Bool(),
        env="CODER_REDIRECT_TO_ACCESS_URL",
        obeyed=True,
    ),
    Option(
        "Autobuild Poll Interval",
        "How often Coder's server looks for workspaces to start or stop by schedule. A longer "
        "interval reduces the load on the database, but scheduled starts and stops are late.",
        Duration(),
        env="CODER_AUTOBUILD_POLL_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "Job Reaper Detect Interval",
        "How often Coder's server looks for stuck provisioner jobs and ends them. Use a shorter "
        "interval if stuck jobs block users for too long.",
        Duration(),
        env="CODER_JOB_HANG_DETECTOR_INTERVAL",
        default="1m0s",
        hidden=True,
    ),
    Option(
        "HTTP Address",
        "The address and port for HTTP. If it is empty, HTTP is disabled. Use the host 0.0.0.0 to "
        "allow connections from other machines.",
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
        "The address and port for HTTPS. It is used only if TLS is enabled.",
        Address(),
        env="CODER_TLS_ADDRESS",
        default="127.0.0.1:3443",
        obeyed=True,
    ),
    _networking_option(
        "Address",
        "The address and port of the server, for HTTPS if TLS is enabled and for HTTP otherwise. "
        "Use HTTP Address and TLS Address instead.",
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
        "Serve HTTPS with the configured certificate. Do not enable it if a proxy terminates TLS.",
        Bool(),
        env="CODER_TLS_ENABLE",
        obeyed=True,
    ),
    _tls_option(
        "Redirect HTTP to HTTPS",
        "Redirect HTTP requests to HTTPS. Use Redirect to Access URL instead.",
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
        "The files with certificates in PEM format, each with its intermediate certificates. TLS "
        "requires at least one certificate file, and a key file for each certificate file.",
        TextList(),
        env="CODER_TLS_CERT_FILE",
        yaml="certFiles",
        json_path="tls.cert_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client CA Files",
        "A file with the CA certificates that verify client certificates, in PEM format. It is "
        "required only if clients must present a certificate.",
        Text(),
        env="CODER_TLS_CLIENT_CA_FILE",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Auth",
        "Whether clients must present a certificate: none, request, require-any, verify-if-given "
        "or require-and-verify. coderapi supports only none and require-and-verify. If you need "
        "another value, let a proxy in front of coderapi terminate TLS.",
        Text(one_of("none", "request", "require-any", "verify-if-given", "require-and-verify")),
        env="CODER_TLS_CLIENT_AUTH",
        default="none",
        obeyed=True,
    ),
    _tls_option(
        "TLS Key Files",
        "The files with the private keys in PEM format, in the order of the certificate files.",
        TextList(),
        env="CODER_TLS_KEY_FILE",
        yaml="keyFiles",
        json_path="tls.key_file",
        obeyed=True,
    ),
    _tls_option(
        "TLS Minimum Version",
        "The oldest TLS version that the server accepts: tls10, tls11, tls12 or tls13. coderapi "
        "does not support tls10 and tls11, because they are insecure.",
        Text(one_of("tls10", "tls11", "tls12", "tls13")),
        env="CODER_TLS_MIN_VERSION",
        default="tls12",
        obeyed=True,
    ),
    _tls_option(
        "TLS Client Cert File",
        "The file with the client certificate for outgoing HTTPS requests of Coder's server.",
        Text(),
        env="CODER_TLS_CLIENT_CERT_FILE",
    ),
    _tls_option(
        "TLS Client Key File",
        "The file with the private key of the client certificate for outgoing HTTPS requests.",
        Text(),
        env="CODER_TLS_CLIENT_KEY_FILE",
    ),
    _tls_option(
        "TLS Ciphers",
        "The allowed cipher suites for TLS 1.2 and older. Set it only if a security policy "
        "requires a certain list.",
        TextList(),
        env="CODER_TLS_CIPHERS",
        yaml="tlsCiphers",
        json_path="tls.supported_ciphers",
        remark="coderapi does not start if this option is set. Let a proxy in front of coderapi "
        "terminate TLS instead.",
    ),
    _tls_option(
        "TLS Allow Insecure Ciphers",
        "Allow insecure cipher suites in TLS Ciphers. Enable it only for old clients that you "
        "cannot replace.",
        Bool(),
        env="CODER_TLS_ALLOW_INSECURE_CIPHERS",
        yaml="tlsAllowInsecureCiphers",
        json_path="tls.allow_insecure_ciphers",
        default="false",
        remark="coderapi does not start if this option is enabled. Let a proxy in front of "
        "coderapi terminate TLS instead.",
    ),
    _derp_option(
        "DERP Server Enable",
        "Run the built-in relay, which forwards traffic if a direct connection to a workspace is "
        "not possible. Disable it only if you configure other relays.",
        Bool(),
        env="CODER_DERP_SERVER_ENABLE",
        default="true",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Server Region ID",
        "The region number of the built-in relay. Change it if your relay map uses this number for "
        "another region.",
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
        "The display name of the built-in relay's region.",
        Text(),
        env="CODER_DERP_SERVER_REGION_NAME",
        default="Coder Embedded Relay",
    ),
    _derp_option(
        "DERP Server STUN Addresses",
        "The addresses of STUN servers, as host:port. Clients use STUN to find their public "
        "address for direct connections. Set it to disable to use no STUN servers.",
        TextList(),
        env="CODER_DERP_SERVER_STUN_ADDRESSES",
        default="stun.l.google.com:19302,stun1.l.google.com:19302,stun2.l.google.com:19302,stun3.l.google.com:19302,stun4.l.google.com:19302",
    ),
    _derp_option(
        "DERP Server Relay URL",
        "The URL at which other Coder servers of the deployment reach this server to forward "
        "relayed traffic. It is required only if you run several servers.",
        URL(),
        env="CODER_DERP_SERVER_RELAY_URL",
        enterprise=True,
        external_workspace_proxies=True,
    ),
    _derp_option(
        "Block Direct Connections",
        "Send all workspace traffic through a relay. Use it in networks that forbid direct "
        "connections.",
        Bool(),
        env="CODER_BLOCK_DIRECT",
        flag="block-direct-connections",
        yaml="blockDirect",
        json_path="derp.config.block_direct",
        external_workspace_proxies=True,
    ),
    _derp_option(
        "DERP Force WebSockets",
        "Always use WebSockets for relay traffic. Enable it if a proxy does not support the "
        "protocol upgrade to DERP.",
        Bool(),
        env="CODER_DERP_FORCE_WEBSOCKETS",
        yaml="forceWebSockets",
        json_path="derp.config.force_websockets",
    ),
    _derp_option(
        "DERP Config URL",
        "The URL of a JSON map of additional relays. Coder's server fetches the map when it "
        "starts.",
        Text(),
        env="CODER_DERP_CONFIG_URL",
        yaml="url",
        json_path="derp.config.url",
    ),
    _derp_option(
        "DERP Config Path",
        "The path of a JSON file with a map of additional relays. Use it if the server cannot "
        "fetch the map from a URL.",
        Text(),
        env="CODER_DERP_CONFIG_PATH",
        yaml="configPath",
        json_path="derp.config.path",
    ),
)
