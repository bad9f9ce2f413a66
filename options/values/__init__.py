"""The types of option values. Each type parses strings and YAML, and formats values."""

from __future__ import annotations

from options.values.addresses import Address, HostPort
from options.values.base import ValueRefusedError, ValueType
from options.values.lists import TextList
from options.values.scalars import Bool, Choice, ConfigPath, Duration, Integer, Regexp, Text
from options.values.structs import ExternalAuth, Links, Struct, TextListMap, TextMap, UUIDListMap
from options.values.urls import URL, ParsedURL, parse_url

__all__ = [
    "URL",
    "Address",
    "Bool",
    "Choice",
    "ConfigPath",
    "Duration",
    "ExternalAuth",
    "HostPort",
    "Integer",
    "Links",
    "ParsedURL",
    "Regexp",
    "Struct",
    "Text",
    "TextList",
    "TextListMap",
    "TextMap",
    "UUIDListMap",
    "ValueRefusedError",
    "ValueType",
    "parse_url",
]
