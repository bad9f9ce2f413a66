"""The types that an option's value can have, and how each is read and printed."""

from __future__ import annotations

from coderapi.durations import format_duration, parse_duration
from deployment.values.addresses import Address, HostPort
from deployment.values.base import ValueRefusedError, ValueType
from deployment.values.durations import Duration
from deployment.values.lists import TextList
from deployment.values.regexps import Regexp
from deployment.values.scalars import Bool, Choice, ConfigPath, Integer, Text
from deployment.values.structs import ExternalAuth, Links, Struct, TextListMap, TextMap, UUIDListMap
from deployment.values.urls import URL, ParsedURL, parse_url

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
    "format_duration",
    "parse_duration",
    "parse_url",
]
