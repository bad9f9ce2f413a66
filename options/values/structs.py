"""Structured values, such as maps and lists of links. All sources contain them as YAML or JSON."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from options.values.base import ValueRefusedError, ValueType
from options.values.scalars import Bool
from options.values.yaml_text import flow_text, is_null, place_of, read_document

# The booleans of YAML 1.1. Coder accepts them inside structured values.
_YES = frozenset({"true", "yes", "on", "y"})
_NO = frozenset({"false", "no", "off", "n", ""})


class Struct[T](ValueType[T | None]):
    """A structured value, or `None` if the option is not set. Unknown inner keys are ignored."""

    zero = None

    def parse(self, text: str) -> T | None:
        root, problems = read_document(text)
        if problems:
            raise ValueRefusedError(problems[0][0], shown=None)
        return None if root is None else self.read(root)

    def read(self, node: Node) -> T | None:
        return None if is_null(node) else self._decode(node)

    def merge(self, old: T | None, new: T | None) -> T | None:
        return old if new is None else new

    def format(self, value: T | None) -> str:
        return flow_text(value)

    @abstractmethod
    def _decode(self, node: Node) -> T | None: ...


def _refusal(node: Node, problem: str, *, path: str, shown: str | None = None) -> ValueRefusedError:
    within = f" (in {path})" if path else ""
    return ValueRefusedError(f"{problem}{within}", shown=shown, place=place_of(node))


def _pairs(node: Node, *, path: str = "") -> list[tuple[str, Node]]:
    if not isinstance(node, MappingNode):
        raise _refusal(node, "is not a map", path=path)
    return [(key.value, value) for key, value in node.value]


def _text(node: Node, *, path: str) -> str:
    if not isinstance(node, ScalarNode):
        raise _refusal(node, "is not a string", path=path)
    return "" if is_null(node) else str(node.value)


def _texts(node: Node, *, path: str) -> list[str] | None:
    if is_null(node):
        return None
    if not isinstance(node, SequenceNode):
        raise _refusal(node, "is not a list", path=path)
    return [_text(item, path=path) for item in node.value]


def _truth(node: Node, *, path: str) -> bool:
    word = _text(node, path=path).lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _refusal(node, "is not a boolean", path=path, shown=word)


class _Map[V](Struct[dict[str, V]]):
    item: Callable[..., V]

    def merge(self, old: dict[str, V] | None, new: dict[str, V] | None) -> dict[str, V] | None:
        return old if new is None else {**(old or {}), **new}

    def _decode(self, node: Node) -> dict[str, V]:
        return {key: self.item(value, path=key) for key, value in _pairs(node)}


class TextMap(_Map[str]):
    name = "struct[map[string]string]"
    accepted = 'a map from strings to strings, such as {"key": "value"}'
    item = staticmethod(_text)


class TextListMap(_Map[list[str] | None]):
    name = "struct[map[string][]string]"
    accepted = 'a map from strings to lists, such as {"key": ["one", "two"]}'
    item = staticmethod(_texts)


class FieldType(NamedTuple):
    """The type of a field: how to read it from YAML and from a variable, and its default value."""

    read: Callable[..., Any]
    parse: Callable[[str], Any]
    absent: Any


TEXT = FieldType(_text, str, "")
TRUTH = FieldType(_truth, Bool().parse, False)
TEXTS = FieldType(_texts, lambda text: text.split(" ") if text else None, None)


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a structured value.

    No response contains the value of a `secret` or `internal` field. If the API reference does not
    contain the key, `documented` is false. With `omits_empty`, Coder omits an empty value.
    """

    type: FieldType
    description: str
    secret: bool = False
    internal: bool = False
    documented: bool = True
    omits_empty: bool = False


LINK_FIELDS: Mapping[str, Field] = {
    "name": Field(TEXT, "The label of the link."),
    "target": Field(TEXT, "The URL of the link."),
    "icon": Field(TEXT, "The icon: `bug`, `chat`, `docs` or `star`."),
    "location": Field(TEXT, "Where the link is shown: `navbar` or `dropdown`.", omits_empty=True),
}

EXTERNAL_AUTH_FIELDS: Mapping[str, Field] = {
    "type": Field(TEXT, "The kind of provider, such as `github` or `gitlab`."),
    "client_id": Field(TEXT, "The client id that the provider issued for this deployment."),
    "client_secret": Field(TEXT, "The client secret.", secret=True),
    "id": Field(TEXT, "The name of the provider in templates and URLs."),
    "auth_url": Field(TEXT, "The URL where users authorize access."),
    "token_url": Field(TEXT, "The URL that issues tokens."),
    "validate_url": Field(TEXT, "The URL that validates a token."),
    "revoke_url": Field(TEXT, "The URL that revokes a token."),
    "app_install_url": Field(TEXT, "The URL where users install the provider's app."),
    "app_installations_url": Field(TEXT, "The URL that lists the app's installations."),
    "no_refresh": Field(TRUTH, "True if tokens are not refreshed."),
    "scopes": Field(TEXTS, "The scopes to request."),
    "extra_token_keys": Field(
        TEXTS, "Additional members of the token response to store.", internal=True
    ),
    "api_base_url": Field(TEXT, "The URL of the provider's API.", documented=False),
    "device_flow": Field(TRUTH, "True if users sign in by entering a code on the provider's page."),
    "device_code_url": Field(TEXT, "The URL that issues codes for the device flow."),
    "mcp_url": Field(TEXT, "The URL of the provider's MCP server."),
    "mcp_tool_allow_regex": Field(TEXT, "A pattern for the MCP tools to allow."),
    "mcp_tool_deny_regex": Field(TEXT, "A pattern for the MCP tools to deny."),
    "regex": Field(TEXT, "A pattern for the Git URLs that use this provider."),
    "display_name": Field(TEXT, "The provider's name in the dashboard."),
    "display_icon": Field(TEXT, "The URL of the provider's icon."),
    "code_challenge_methods_supported": Field(
        TEXTS, "The PKCE methods that the provider supports."
    ),
}

AI_PROVIDER_FIELDS: Mapping[str, Field] = {
    "type": Field(TEXT, "The kind of provider, such as `openai` or `anthropic`."),
    "name": Field(TEXT, "The name of the provider in the gateway's URLs."),
    "base_url": Field(TEXT, "The URL of the provider's API."),
    "bedrock_region": Field(TEXT, "The AWS region of the Bedrock service.", omits_empty=True),
    "bedrock_model": Field(TEXT, "The Bedrock model for normal requests.", omits_empty=True),
    "bedrock_small_fast_model": Field(TEXT, "The Bedrock model for small tasks.", omits_empty=True),
    "provider_key": Field(TEXT, "The key of the provider's API.", secret=True),
    "provider_keys": Field(TEXT, "Several keys, separated by commas.", secret=True),
    "provider_access_key": Field(TEXT, "The ID of the AWS access key.", secret=True),
    "provider_access_key_secret": Field(TEXT, "The secret of the AWS access key.", secret=True),
}

SECRET_MEMBERS = frozenset(
    key
    for fields in (EXTERNAL_AUTH_FIELDS, AI_PROVIDER_FIELDS)
    for key, field in fields.items()
    if field.secret
)


class Records(Struct[list[dict[str, Any]]]):
    """A list of maps with the keys in `fields`. An empty list counts as not set."""

    fields: ClassVar[Mapping[str, Field]]

    def _decode(self, node: Node) -> list[dict[str, Any]] | None:
        if not isinstance(node, SequenceNode):
            raise _refusal(node, "is not a list", path="")
        records = enumerate(node.value)
        return [self._record(item, path=f"[{position}]") for position, item in records] or None

    def _record(self, node: Node, *, path: str) -> dict[str, Any]:
        given = dict(_pairs(node, path=path))
        return {
            key: each.type.read(given[key], path=f"{path}.{key}")
            if key in given
            else each.type.absent
            for key, each in self.fields.items()
        }


class Links(Records):
    name = "struct[[]codersdk.LinkConfig]"
    accepted = "a list of links, each with name, target, icon and location"
    fields = LINK_FIELDS


class AIProviders(Records):
    name = "struct[[]codersdk.AIProviderConfig]"
    accepted = "a list of providers, each with type, name and base_url"
    fields = AI_PROVIDER_FIELDS


class ExternalAuth(Records):
    name = "struct[[]codersdk.ExternalAuthConfig]"
    accepted = "a list of providers, each with type, client_id and other settings"
    fields = EXTERNAL_AUTH_FIELDS


def secrets_of(records: list[dict[str, Any]] | None) -> Iterator[str]:
    """Yields the secrets in records. A member can contain several secrets, separated by commas."""
    for record in records or ():
        for key in SECRET_MEMBERS & record.keys():
            yield from filter(None, {record[key], *record[key].split(",")})
