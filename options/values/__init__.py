"""The types that an option's value can have, and how each is read and printed."""

from __future__ import annotations

from kernel.durations import format_duration, parse_duration
from options.values.addresses import Address, HostPort
from options.values.base import ValueRefusedError, ValueType
from options.values.durations import Duration
from options.values.lists import TextList
from options.values.regexps import Regexp
from options.values.scalars import Bool, Choice, ConfigPath, Integer, Text
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
    "format_duration",
    "parse_duration",
    "parse_url",
]
