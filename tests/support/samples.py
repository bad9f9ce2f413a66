"""Texts that options accept."""

from __future__ import annotations

import json
from typing import Any

from options.catalogue import CATALOGUE
from options.option import Option
from options.values.addresses import Address
from options.values.lists import TextList
from options.values.scalars import Bool, Choice, Duration, Integer, Regexp, Text
from options.values.structs import ExternalAuth, Links, TextListMap, TextMap
from options.values.urls import URL

BY_TYPE: dict[type[Any], list[str]] = {
    Bool: ["true", "false"],
    Integer: ["7", "100"],
    Duration: ["90m", "2h1ns"],
    URL: [
        *(
            "https://sample.example.com/a?b#c",
            "",
            "https://example.com/a%2Fb?q#f",
            "http://[::1]:80",
        ),
        *("http://h/%C3%A4", "http://h/a!"),
    ],
    Address: ["127.0.0.1:1234", "[::1]:http", ":", "h:"],
    Regexp: ["^sample$", "", r"^a\.b$", "#x: y"],
    Text: ["sample", "", "two words", "#: \u00e4", "yes", "1.5", "line\nbreak", "\x07"],
    TextList: ["sample", "", "a,b", '"a,b","c""d"', ' a,"x\ny"'],
    TextMap: ['{"sample": "text"}', "{}", '{"": "yes", "a b": "#\u00e4"}'],
    TextListMap: ['{"sample": ["one", "two"]}', '{"a": null, "b": []}'],
    Links: ['[{"name": "desk", "target": "https://d.example.com", "icon": "bug"}]', "[]"],
    ExternalAuth: [
        '[{"id": "sample", "type": "github", "scopes": ["repo"]}]',
        '[{"no_refresh": true, "scopes": null}, {"id": "a: b"}]',
    ],
}
RULED = {
    "Wildcard Access URL": ["*.sample.example.com", ""],
    "TLS Minimum Version": ["tls13", "tls10"],
    "TLS Client Auth": ["request", "none"],
    "SSH Keygen Algorithm": ["rsa4096"],
    "Workspace Hostname Suffix": ["sample"],
    "Postgres Connection Max Idle": ["3", "auto"],
    "Prometheus Aggregate Agent Stats By": ["username"],
    "Provisioner Daemon Types": ["echo"],
    "Proxy Trusted Origins": ["10.0.0.0/8", "10.0.0.0/8,::1"],
    "AI Gateway Proxy Allowed Private CIDRs": ["10.0.0.0/8", "192.168.0.1"],
    "AI Bridge Proxy Allowed Private CIDRs": ["10.0.0.0/8"],
    "AI Budget Policy": ["HIGHEST", "highest"],
    "AI Budget Period": ["MONTH", "month"],
    "Strict-Transport-Security Options": ["preload"],
    "SSH Config Options": ["ForwardAgent=yes", '"a b,\u00e4",c=d'],
}


# Log lines redact secrets of eight characters and more, even without a name beside them.
MARK = "PLANTED5ecret"
WITH_PASSWORD = f"https://somebody:{MARK}@planted.example.com/path?q=1"
SECRETS = [option for option in CATALOGUE if option.secret]


def planted() -> dict[str, str]:
    """Returns variables with the mark in every secret, URL password and external provider."""
    environ = {option.env: MARK for option in SECRETS if not option.use_instead}
    environ |= {
        option.env: WITH_PASSWORD
        for option in CATALOGUE
        if isinstance(option.type, URL) or option.json_path.endswith(("base_url", "upstream_proxy"))
    }
    return environ | {
        "CODER_PG_CONNECTION_URL": f"postgresql://somebody:{MARK}@planted.example.com/none",
        "CODER_EMAIL_FROM": "from@example.com",
        "CODER_EMAIL_SMARTHOST": "mail.example.com:25",
        "CODER_EXTERNAL_AUTH_0_TYPE": "github",
        "CODER_EXTERNAL_AUTH_0_CLIENT_SECRET": MARK,
        "CODER_EXTERNAL_AUTH_0_EXTRA_TOKEN_KEYS": "id_token",
        "CODER_EXTERNAL_AUTH_0_AUTH_URL": WITH_PASSWORD,
        "CODER_GITAUTH_0_CLIENT_SECRET": MARK,
        "CODER_AI_GATEWAY_PROVIDER_0_KEY": MARK,
        "CODER_AI_GATEWAY_PROVIDER_0_KEYS": f"{MARK},{MARK}",
        "CODER_AI_GATEWAY_PROVIDER_0_BASE_URL": WITH_PASSWORD,
        "CODER_AI_GATEWAY_PROVIDER_0_BEDROCK_ACCESS_KEY": MARK,
        "CODER_AI_GATEWAY_PROVIDER_0_BEDROCK_ACCESS_KEY_SECRET": MARK,
        "CODER_SUPPORT_LINKS": json.dumps([{"name": "desk", "target": WITH_PASSWORD}]),
        "CODER_OIDC_AUTH_URL_PARAMS": json.dumps({"next": WITH_PASSWORD}),
        "CODER_DERP_SERVER_STUN_ADDRESSES": f"{WITH_PASSWORD},x",
        "CODER_CLI_UPGRADE_MESSAGE": f"See {WITH_PASSWORD}",
        "CODER_ADDITIONAL_CSP_POLICY": f"frame-src {WITH_PASSWORD}",
    }


def samples(option: Option) -> list[str]:
    """Returns texts for the option. The first differs from its default."""
    if option.name in RULED:
        return RULED[option.name]
    if isinstance(option.type, Choice):
        return [option.type.choices[-1], option.type.choices[0].upper()]
    if isinstance(option.type, Bool) and option.default == "true":
        return ["false", "true"]
    if isinstance(option.type, URL) and option.type.schemes:
        return BY_TYPE[URL][:2]
    return BY_TYPE[type(option.type)]


def sample(option: Option) -> str:
    return samples(option)[0]
