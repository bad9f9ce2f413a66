"""The two wire forms of the configuration with their JSON schemas, and how they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from options.option import Option
from options.redaction import without_secrets
from options.values import (
    URL,
    Address,
    Bool,
    Choice,
    ConfigPath,
    Duration,
    ExternalAuth,
    HostPort,
    Integer,
    Links,
    ParsedURL,
    Regexp,
    Text,
    TextList,
    TextListMap,
    TextMap,
    UUIDListMap,
    ValueType,
)
from options.values.structs import EXTERNAL_AUTH_FIELDS, LINK_FIELDS, Field

type Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
NULL: Schema = {"type": "null"}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def object_of(members: Mapping[str, Schema], *, optional: Iterable[str] = ()) -> Schema:
    required = [name for name in members if name not in set(optional)]
    return {"type": "object", "properties": dict(members)} | (
        {"required": required} if required else {}
    )


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def ref(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}


def _record_of(
    fields: Mapping[str, Field],
    *,
    lists: Schema,
    withheld: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> Schema:
    """Returns an object with a member for each inner key; `lists` describes its lists."""
    by_absence = {"": TEXT, False: TRUTH, None: lists}
    members = {key: by_absence[field.absent] for key, field in fields.items()}
    return object_of(
        {key: schema for key, schema in members.items() if key not in set(withheld)},
        optional=optional,
    )


TEXTS = array_of(TEXT)
TEXTS_OR_NULL = nullable(TEXTS)

URL_MEMBERS = object_of(
    {
        "scheme": TEXT | {"examples": ["https"]},
        "opaque": TEXT,
        "user": {"type": "object", "description": "Always empty: credentials are not told."},
        "host": TEXT | {"examples": ["coder.example.com:8443"]},
        "path": TEXT,
        "rawPath": TEXT,
        "omitHost": TRUTH,
        "forceQuery": TRUTH,
        "rawQuery": TEXT,
        "fragment": TEXT,
        "rawFragment": TEXT,
    }
)
ADDRESS_MEMBERS = object_of(
    {"host": TEXT | {"examples": ["127.0.0.1"]}, "port": TEXT | {"examples": ["3000"]}}
)
REGEXP_MEMBERS = object_of({"source": TEXT | {"description": "The pattern, in RE2 syntax."}})
CHOICE_MEMBERS = object_of({"Choices": TEXTS, "Value": TEXT})
LINK = _record_of(LINK_FIELDS, lists=TEXTS)
LINK_WITHOUT_EMPTY = _record_of(LINK_FIELDS, lists=TEXTS, optional=["location"])


def _provider(*, lists: Schema, withheld: Iterable[str]) -> Schema:
    """Returns the schema of an external sign-in provider."""
    return _record_of(EXTERNAL_AUTH_FIELDS, lists=lists, withheld=withheld)


# Other types, such as a URL, an address or a struct, are shown when empty.
_LEFT_OUT_WHEN_EMPTY = (Bool, Choice, ConfigPath, Duration, Integer, Text, TextList)

# Members of an external sign-in provider that no answer has.
_NEVER_TOLD = frozenset({"client_secret", "extra_token_keys"})


@dataclass(frozen=True, slots=True)
class Encoding:
    """The function that turns values of one type into JSON, and the schema of that JSON."""

    encode: Callable[[Any], Any]
    schema: Schema


@dataclass(frozen=True, slots=True)
class WireForm:
    """One form of the documents.

    `encodings` turn values into JSON by their type; `choice` is how an option (never the
    configuration) shows an enumeration, and `choice_schema` the schema of that. `components` are
    the schemas that others name. `keys` renames members of the configuration by JSON path.
    `omits_empty` leaves out what is empty: at the top of the configuration, in the groups named by
    `sparse_groups` but for `always_shown`, and in options.
    """

    encodings: Mapping[type[ValueType[Any]], Encoding]
    choice: Callable[[Choice, str], Any]
    choice_schema: Schema
    components: Mapping[str, Schema]
    keys: Mapping[str, str] = field(default_factory=dict)
    omits_empty: bool = False
    sparse_groups: frozenset[str] = frozenset()
    always_shown: frozenset[str] = frozenset()

    def encode(self, value_type: ValueType[Any], value: Any) -> Any:
        return self.encodings[type(value_type)].encode(without_secrets(value))

    def may_leave_out(self, option: Option) -> bool:
        """Tells whether the configuration lacks the option's member while its value is empty."""
        above, _, _ = option.json_path.rpartition(".")
        return (
            self.omits_empty
            and isinstance(option.type, _LEFT_OUT_WHEN_EMPTY)
            and (not above or above in self.sparse_groups)
            and option.json_path not in self.always_shown
        )


def _url_members(url: ParsedURL) -> dict[str, Any]:
    return {
        "scheme": url.scheme,
        "opaque": url.opaque,
        "user": {},
        "host": url.host,
        "path": _text(url.path),
        "rawPath": url.raw_path,
        "omitHost": url.omit_host,
        "forceQuery": url.force_query,
        "rawQuery": url.raw_query,
        "fragment": _text(url.fragment),
        "rawFragment": url.raw_fragment,
    }


def _text(decoded: str) -> str:
    """Returns the text with a replacement character for each byte that is not UTF-8."""
    return decoded.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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


def _as_it_is(value: Any) -> Any:
    return value


_NANOSECONDS = INTEGER | {"description": "In nanoseconds."}
_PLAIN: Mapping[type[ValueType[Any]], Encoding] = {
    Bool: Encoding(_as_it_is, TRUTH),
    Choice: Encoding(_as_it_is, TEXT),
    ConfigPath: Encoding(_as_it_is, TEXT),
    Duration: Encoding(_as_it_is, _NANOSECONDS),
    Integer: Encoding(_as_it_is, INTEGER),
    Text: Encoding(_as_it_is, TEXT),
}
_LINK, _PROVIDER = "codersdk.LinkConfig", "codersdk.ExternalAuthConfig"
_URL, _ADDRESS, _REGEXP = "serpent.URL", "serpent.HostPort", "serpent.Regexp"

_DOCUMENTED = WireForm(
    encodings={
        **_PLAIN,
        URL: Encoding(_url_members, ref(_URL)),
        Address: Encoding(_address_members, ref(_ADDRESS)),
        Regexp: Encoding(_source, ref(_REGEXP)),
        TextList: Encoding(_list, TEXTS),
        TextMap: Encoding(_map, map_of(TEXT)),
        TextListMap: Encoding(_map, map_of(TEXTS)),
        UUIDListMap: Encoding(_map, map_of(TEXTS)),
        Links: Encoding(_full_links, object_of({"value": array_of(ref(_LINK))})),
        ExternalAuth: Encoding(_full_providers, object_of({"value": array_of(ref(_PROVIDER))})),
    },
    choice=_word,
    choice_schema=TEXT,
    components={
        _URL: URL_MEMBERS,
        _ADDRESS: ADDRESS_MEMBERS,
        _REGEXP: REGEXP_MEMBERS,
        _LINK: LINK,
        _PROVIDER: _provider(lists=TEXTS, withheld=_NEVER_TOLD),
    },
)
_CODERD = WireForm(
    encodings={
        **_PLAIN,
        URL: Encoding(str, TEXT | {"description": "A URL; empty when unset."}),
        Address: Encoding(str, TEXT | {"description": "host:port; empty when unset."}),
        Regexp: Encoding(_as_it_is, TEXT | {"description": "A pattern in RE2 syntax."}),
        TextList: Encoding(_as_it_is, TEXTS_OR_NULL),
        TextMap: Encoding(_as_it_is, nullable(map_of(TEXT))),
        TextListMap: Encoding(_as_it_is, nullable(map_of(TEXTS_OR_NULL))),
        UUIDListMap: Encoding(_as_it_is, nullable(map_of(TEXTS_OR_NULL))),
        Links: Encoding(_links, nullable(array_of(ref(_LINK)))),
        ExternalAuth: Encoding(_providers, nullable(array_of(ref(_PROVIDER)))),
    },
    choice=_choice_members,
    choice_schema=CHOICE_MEMBERS,
    components={
        _LINK: LINK_WITHOUT_EMPTY,
        _PROVIDER: _provider(lists=TEXTS_OR_NULL, withheld=_NEVER_TOLD),
    },
    keys={
        "config_ssh.deploymentName": "DeploymentName",
        "config_ssh.sshconfigOptions": "SSHConfigOptions",
    },
    omits_empty=True,
    sparse_groups=frozenset({"session_lifetime", "http_cookies"}),
    always_shown=frozenset({"session_lifetime.default_duration"}),
)
WIRE_FORMS: Mapping[str, WireForm] = {"documented": _DOCUMENTED, "coderd": _CODERD}
