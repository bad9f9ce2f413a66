"""The rules for secret scanners match our keys and nothing else."""

from __future__ import annotations

import math
import re
import tomllib
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from csp.access.keys import new_key
from tokens.token_format import generate

ROOT = Path(__file__).resolve().parents[2]
RULES = tomllib.loads((ROOT / "docs/secret-scanning.toml").read_text())["rules"]


def entropy(text: str) -> float:
    """Returns the Shannon entropy in bits per character, as scanners compute it."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)


def found(text: str) -> list[str]:
    """Returns the ids of the rules that a scanner would report."""
    return [
        rule["id"]
        for rule in RULES
        for match in re.finditer(rule["regex"], text, re.ASCII)
        if entropy(match[0]) >= rule.get("entropy", 0) and not is_allowed(rule, match[0])
    ]


def is_allowed(rule: dict[str, Any], text: str) -> bool:
    lists = rule.get("allowlists", [])
    return any(re.search(regex, text) for allowed in lists for regex in allowed["regexes"])


@pytest.mark.parametrize("around", ["{}", "TOKEN={}\n", '"{}"', "?coder_session_token={}&x=1"])
def test_every_session_token_is_found(around: str) -> None:
    for _ in range(500):
        assert found(around.format(generate().token)) == ["coder-session-token"]


@pytest.mark.parametrize("around", ["{}", "https://example.com/api/v2/csp/reports?key={}"])
def test_every_ingest_key_is_found(around: str) -> None:
    for _ in range(100):
        assert found(around.format(new_key())) == ["coderapi-ingest-key"]


@pytest.mark.parametrize(
    "text",
    [
        "deployment-configurationdirectory",
        "Management-Configurationdirectory",
        "DEPLOYMENT-CONFIGURATIONDIRECTORY",
        "a" * 10 + "-" + "b" * 22,
        "0123456789-0123456789012345678901",
        "0123456789-abcdef0123456789abcdef",
        "coder_session_token=<token>",
        "the key cik_ is a prefix",
        *(str(uuid.UUID(int=n * 2**100)) for n in range(20)),
    ],
)
def test_other_text_is_not_found(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_documents_contain_no_secret(name: str) -> None:
    assert found((ROOT / name).read_text()) == []
