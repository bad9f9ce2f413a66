"""The two forms in which clients are told the configuration, and every difference of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployment.secrecy import without_secrets
from deployment.values import (
    URL,
    Address,
    Choice,
    ExternalAuth,
    HostPort,
    Links,
    ParsedURL,
    Regexp,
    TextList,
    TextListMap,
    TextMap,
    UUIDListMap,
    ValueType,
)

# Members of an external sign-in provider that no answer has.
_NEVER_TOLD = frozenset({"client_secret", "extra_token_keys"})

type _Encoder = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class WireForm:
    """One form of the documents.

    `encoders` turn values into JSON by their type, others stay as they are; `choice` is how an
    option (never the configuration) shows an enumeration. `keys` renames members of the
    configuration by JSON path. `omits_empty` leaves out what is empty: at the top of the
    configuration, in the groups named by `sparse_groups` but for `always_shown`, and in options.
    """

    encoders: Mapping[type[ValueType[Any]], _Encoder]
    choice: Callable[[Choice, str], Any]
    keys: Mapping[str, str] = field(default_factory=dict)
    omits_empty: bool = False
    sparse_groups: frozenset[str] = frozenset()
    always_shown: frozenset[str] = frozenset()

    def encode(self, value_type: ValueType[Any], value: Any) -> Any:
        encoder = self.encoders.get(type(value_type))
        shown = without_secrets(value)
        return encoder(shown) if encoder else shown


def _url_members(url: ParsedURL) -> dict[str, Any]:
    return {
        "scheme": url.scheme,
        "opaque": url.opaque,
        "user": {},
        "host": url.host,
        "path": url.path,
        "rawPath": url.raw_path,
        "omitHost": url.omit_host,
        "forceQuery": url.force_query,
        "rawQuery": url.raw_query,
        "fragment": url.fragment,
        "rawFragment": url.raw_fragment,
    }


def _address_members(address: HostPort) -> dict[str, str]:
    return {"host": address.host, "port": address.port}


def _providers(providers: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    if providers is None:
        return None
    return [
        {key: item for key, item in provider.items() if key not in _NEVER_TOLD}
        for provider in providers
    ]


def _full_providers(providers: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {"value": [_map(provider) for provider in _providers(providers) or ()]}


def _links(links: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    if links is None:
        return None
    return [
        {key: text for key, text in link.items() if text or key != "location"} for link in links
    ]


def _full_links(links: list[dict[str, str]] | None) -> dict[str, Any]:
    return {"value": links or []}


def _list(values: list[str] | None) -> list[str]:
    return values or []


def _map(values: dict[str, Any] | None) -> dict[str, Any]:
    return {key: [] if item is None else item for key, item in (values or {}).items()}


def _source(pattern: str) -> dict[str, str]:
    return {"source": pattern}


def _word(choice: Choice, value: str) -> str:
    del choice
    return value


def _choice_members(choice: Choice, value: str) -> dict[str, Any]:
    return {"Choices": list(choice.choices), "Value": value}


WIRE_FORMS: Mapping[str, WireForm] = {
    "documented": WireForm(
        encoders={
            URL: _url_members,
            Address: _address_members,
            Regexp: _source,
            TextList: _list,
            TextMap: _map,
            TextListMap: _map,
            UUIDListMap: _map,
            Links: _full_links,
            ExternalAuth: _full_providers,
        },
        choice=_word,
    ),
    "coderd": WireForm(
        encoders={URL: str, Address: str, Links: _links, ExternalAuth: _providers},
        choice=_choice_members,
        keys={
            "config_ssh.deploymentName": "DeploymentName",
            "config_ssh.sshconfigOptions": "SSHConfigOptions",
        },
        omits_empty=True,
        sparse_groups=frozenset({"session_lifetime", "http_cookies"}),
        always_shown=frozenset({"session_lifetime.default_duration"}),
    ),
}
