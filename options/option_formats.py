"""The two wire formats of the configuration, `documented` and `coderd`, with JSON schemas."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from options.option import Option
from options.values import structs
from options.values.addresses import Address, split_host_port
from options.values.base import ValueType
from options.values.lists import TextList
from options.values.scalars import Bool, Choice, Duration, Integer, Regexp, Size, Text
from options.values.structs import (
    AI_PROVIDER_FIELDS,
    EXTERNAL_AUTH_FIELDS,
    LINK_FIELDS,
    AIProviders,
    ExternalAuth,
    Field,
    Links,
    TextListMap,
    TextMap,
)
from options.values.urls import URL, ParsedURL, parse_url

type Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer", "format": "int64"}
NULL: Schema = {"type": "null"}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_of(items: Schema) -> Schema:
    return {"type": "object", "additionalProperties": items}


def object_of(
    members: Mapping[str, Schema], description: str, *, optional: Iterable[str] = ()
) -> Schema:
    required = [name for name in members if name not in set(optional)]
    return {
        "type": "object",
        "properties": dict(members),
        **({"required": required} if required else {}),
        "description": description,
    }


def described(schema: Schema, description: str, *examples: Any) -> Schema:
    """Returns the schema with a description and examples.

    The description replaces the description of a referenced schema.
    """
    return schema | {"description": description} | ({"examples": [*examples]} if examples else {})


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def ref(component: str) -> Schema:
    return {"$ref": f"#/components/schemas/{component}"}


def _public(fields: Mapping[str, Field], *, is_coderd: bool) -> dict[str, Field]:
    """Returns the fields of records that a format has."""
    return {
        key: each
        for key, each in fields.items()
        if not (each.secret or each.internal) and (is_coderd or each.documented)
    }


def _record(
    fields: Mapping[str, Field], description: str, *, lists: Schema, is_coderd: bool
) -> Schema:
    """Returns an object schema. `lists` is the schema of the fields that contain lists."""
    schemas = {structs.TEXT: TEXT, structs.TRUTH: TRUTH, structs.TEXTS: lists}
    members = {
        key: described(schemas[each.type], each.description)
        for key, each in _public(fields, is_coderd=is_coderd).items()
    }
    optional = [key for key, each in fields.items() if is_coderd and each.omits_empty]
    return object_of(members, description, optional=optional)


TEXTS = array_of(TEXT)
TEXTS_OR_NULL = nullable(TEXTS)

URL_MEMBERS = object_of(
    {
        "scheme": described(TEXT, "The part before the first colon.", "https"),
        "opaque": described(TEXT, "The part after the scheme, if no slash follows the scheme."),
        "user": described({"type": "object"}, "Always empty, because credentials are removed."),
        "host": described(TEXT, "The host, with its port if present.", "coder.example.com"),
        "path": described(TEXT, "The decoded path."),
        "rawPath": described(
            TEXT, "The encoded path, if encoding `path` again would give a different result."
        ),
        "omitHost": described(
            TRUTH, "True if a path without `//` follows the scheme, as in `file:/path`."
        ),
        "forceQuery": described(TRUTH, "True if the URL ends with a bare `?`."),
        "rawQuery": described(TEXT, "The encoded query, without the `?`."),
        "fragment": described(TEXT, "The decoded part after `#`."),
        "rawFragment": described(
            TEXT,
            "The encoded part after `#`, if encoding `fragment` again would give a different "
            "result.",
        ),
    },
    "The parts of a URL. All parts are empty if the URL is not set.",
)
CHOICE_MEMBERS = object_of(
    {
        "Choices": described(TEXTS, "The allowed values."),
        "Value": described(TEXT, "The current value."),
    },
    "The value of an option that allows only certain values.",
)

# The coderd format omits empty members of these types only. Empty URLs, addresses and
# structs are included.
_LEFT_OUT_WHEN_EMPTY = (AIProviders, Bool, Choice, Duration, Integer, Text, TextList)
# The groups and the values that are omitted like those at the top level.
_SPARSE = {"session_lifetime", "http_cookies", "ai.bridge.providers", "template_builder.disabled"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """The JSON schema of a type, and the functions that encode and decode its values.

    Only the coderd format is decoded.
    """

    schema: Schema
    encode: Callable[[Any], Any] = lambda value: value
    decode: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class ConfigFormat:
    """A wire format of the two documents: the configuration and the list of options.

    `encodings` has the encoding of each option type. `components` has the schemas that the
    encodings reference. `paths` maps a JSON path to the path in the configuration, if it differs.

    The coderd format omits empty members in the options, at the top level of the configuration, and
    in some groups. It sorts the options by name, and lists the choices in the value of an
    enumeration. The documented format has the order of the catalogue. Its configuration has only
    the values that the API reference contains.
    """

    encodings: Mapping[type[ValueType[Any]], Encoding]
    components: Mapping[str, Schema]
    is_coderd: bool = False
    paths: Mapping[str, str] = field(default_factory=dict)

    def encode(self, value_type: ValueType[Any], value: Any) -> Any:
        return self.encodings[type(value_type)].encode(value)

    def path(self, option: Option) -> str:
        """Returns the path of the option's value in the configuration."""
        return self.paths.get(option.json_path, option.json_path)

    def has(self, option: Option) -> bool:
        """Returns whether this format of the configuration contains the option."""
        return option.documented or self.is_coderd

    def may_leave_out(self, option: Option) -> bool:
        """Returns whether an empty value of this option is omitted from the configuration."""
        above, _, _ = option.json_path.rpartition(".")
        return (
            self.is_coderd
            and isinstance(option.type, _LEFT_OUT_WHEN_EMPTY)
            and (not above or not _SPARSE.isdisjoint({above, option.json_path}))
            and option.json_path != "session_lifetime.default_duration"
        )

    def trimmed(self, document: dict[str, Any], *, keep: str = "") -> dict[str, Any]:
        """Drops empty members except `keep` in the coderd format."""
        if not self.is_coderd:
            return document
        return {key: item for key, item in document.items() if item or key == keep}


def _url_members(url: ParsedURL) -> dict[str, Any]:
    # The members are in the order of the fields of ParsedURL.
    members = dict(zip(URL_MEMBERS["properties"], dataclasses.astuple(url), strict=True))
    return members | {"user": {}, "path": _text(url.path), "fragment": _text(url.fragment)}


def _text(decoded: str) -> str:
    """Returns the string with each byte that is not valid UTF-8 replaced by U+FFFD."""
    return decoded.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _records(fields: Mapping[str, Field], *, is_coderd: bool) -> Callable[[Any], Any]:
    """Builds the function that encodes records. It returns None for None."""
    shown = _public(fields, is_coderd=is_coderd)
    omitted = {key for key, each in shown.items() if is_coderd and each.omits_empty}
    return lambda records: (
        records
        and [
            {key: record[key] for key in shown if record[key] or key not in omitted}
            for record in records
        ]
    )


def _complete(fields: Mapping[str, Field]) -> Callable[[Any], Any]:
    """Builds the inverse of `_records` in the coderd format: it adds the missing members."""
    empty = {key: each.type.absent for key, each in _public(fields, is_coderd=True).items()}
    return lambda records: [empty | record for record in records or ()] or None


_documented_links = _records(LINK_FIELDS, is_coderd=False)
_documented_providers = _records(EXTERNAL_AUTH_FIELDS, is_coderd=False)
_coderd_providers = _records(EXTERNAL_AUTH_FIELDS, is_coderd=True)
_ai_providers = _records(AI_PROVIDER_FIELDS, is_coderd=True)


def _map(values: dict[str, Any] | None) -> dict[str, Any]:
    return {key: [] if item is None else item for key, item in (values or {}).items()}


_LINK, _PROVIDER = "codersdk.LinkConfig", "codersdk.ExternalAuthConfig"
_AI_PROVIDER = "codersdk.AIProviderConfig"
_URL, _ADDRESS, _REGEXP = "serpent.URL", "serpent.HostPort", "serpent.Regexp"

_A_LINK = "A link in the dashboard."
_A_PROVIDER = "A Git host or other service that users can connect, without the client secret."
_AN_AI_PROVIDER = "A provider of the AI gateway, without its keys."

# The encodings that both formats have.
_SHARED: Mapping[type[ValueType[Any]], Encoding] = {
    AIProviders: Encoding(
        array_of(ref(_AI_PROVIDER)), lambda providers: _ai_providers(providers) or []
    ),
    Bool: Encoding(TRUTH),
    Choice: Encoding(TEXT),
    Duration: Encoding(INTEGER | {"description": "In nanoseconds."}),
    Integer: Encoding(INTEGER),
    Size: Encoding(INTEGER | {"description": "In bytes."}),
    Text: Encoding(TEXT),
}
_DOCUMENTED = ConfigFormat(
    encodings={
        **_SHARED,
        URL: Encoding(ref(_URL), _url_members),
        Address: Encoding(ref(_ADDRESS), dataclasses.asdict),
        Regexp: Encoding(ref(_REGEXP), lambda pattern: {"source": pattern}),
        TextList: Encoding(TEXTS, lambda texts: texts or []),
        TextMap: Encoding(map_of(TEXT), _map),
        TextListMap: Encoding(map_of(TEXTS), _map),
        Links: Encoding(
            object_of({"value": described(array_of(ref(_LINK)), "The links.")}, "Links to show."),
            lambda links: {"value": _documented_links(links) or []},
        ),
        ExternalAuth: Encoding(
            object_of(
                {"value": described(array_of(ref(_PROVIDER)), "The providers.")},
                "The external auth providers.",
            ),
            lambda providers: {"value": list(map(_map, _documented_providers(providers) or ()))},
        ),
    },
    components={
        _URL: URL_MEMBERS,
        _ADDRESS: object_of(
            {
                "host": described(TEXT, "The host name or IP address.", "127.0.0.1"),
                "port": described(TEXT, "The port, as a string.", "3000"),
            },
            "An address to listen on or connect to.",
        ),
        _REGEXP: object_of(
            {"source": described(TEXT, "The pattern, in RE2 syntax.", "^dev-")},
            "A regular expression.",
        ),
        _LINK: _record(LINK_FIELDS, _A_LINK, lists=TEXTS, is_coderd=False),
        _PROVIDER: _record(EXTERNAL_AUTH_FIELDS, _A_PROVIDER, lists=TEXTS, is_coderd=False),
    },
)
_CODERD = ConfigFormat(
    encodings={
        **_SHARED,
        URL: Encoding(TEXT | {"description": "A URL; empty when unset."}, str, parse_url),
        Address: Encoding(
            TEXT | {"description": "host:port; empty when unset."},
            str,
            lambda text: split_host_port(text) if text else Address.zero,
        ),
        Regexp: Encoding(TEXT | {"description": "A pattern in RE2 syntax."}),
        TextList: Encoding(TEXTS_OR_NULL),
        TextMap: Encoding(nullable(map_of(TEXT))),
        TextListMap: Encoding(nullable(map_of(TEXTS_OR_NULL))),
        Links: Encoding(
            nullable(array_of(ref(_LINK))),
            _records(LINK_FIELDS, is_coderd=True),
            _complete(LINK_FIELDS),
        ),
        ExternalAuth: Encoding(
            array_of(ref(_PROVIDER)),
            lambda providers: _coderd_providers(providers) or [],
            _complete(EXTERNAL_AUTH_FIELDS),
        ),
    },
    components={
        _LINK: _record(LINK_FIELDS, _A_LINK, lists=TEXTS, is_coderd=True),
        _PROVIDER: _record(EXTERNAL_AUTH_FIELDS, _A_PROVIDER, lists=TEXTS_OR_NULL, is_coderd=True),
        _AI_PROVIDER: _record(AI_PROVIDER_FIELDS, _AN_AI_PROVIDER, lists=TEXTS, is_coderd=True),
    },
    is_coderd=True,
    paths={
        "config_ssh.deploymentName": "config_ssh.DeploymentName",
        "config_ssh.sshconfigOptions": "config_ssh.SSHConfigOptions",
    },
)
CONFIG_FORMATS: Mapping[str, ConfigFormat] = {"documented": _DOCUMENTED, "coderd": _CODERD}
