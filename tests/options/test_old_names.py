"""Old names of options: they still work, and the new name overrides the old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from options.catalogue import CATALOGUE, OLD_YAML_KEYS
from options.configuration import load
from options.option import Option, ValueSource
from tests.support.option_sources import load_file, options_by_name, parsed
from tests.support.samples import sample, samples

OLD, NEW = "CODER_AIBRIDGE_RATE_LIMIT", "CODER_AI_GATEWAY_RATE_LIMIT"


IGNORED = "is deprecated and ignored, because"


@pytest.mark.parametrize(
    ("line", "file", "value", "source", "warnings"),
    [
        (f"{OLD}=7", "", 7, "env", [f"{OLD} is deprecated; use {NEW} instead"]),
        (f"{NEW}=9", "", 9, "env", []),
        (f"{NEW}=9 {OLD}=7", "", 9, "env", [f"{OLD} {IGNORED} {NEW} sets"]),
        (
            *(f"{NEW}=9 --aibridge-rate-limit=6 --aibridge-rate-limit=7", "", 7, "flag"),
            [
                f"{NEW} is ignored, because --aibridge-rate-limit sets",
                "--aibridge-rate-limit is deprecated; use --ai-gateway-rate-limit",
            ],
        ),
        (
            *(f"{OLD}=7", "ai_gateway: {rate_limit: 9}", 7, "env"),
            [
                f"{OLD} is deprecated; use {NEW} instead",
                f"ai_gateway.rate_limit is ignored, because {OLD} sets",
            ],
        ),
        (
            *("", "aibridge: {rateLimit: 7}\nai_gateway: {rate_limit: 9}", 9, "yaml"),
            [f"aibridge.rate_limit {IGNORED} ai_gateway.rate_limit sets"],
        ),
    ],
)
def test_new_name_overrides_the_old_name_in_one_source(
    line: str, file: str, value: int, source: str, warnings: list[str], tmp_path: Path
) -> None:
    environ, flags = parsed(line)
    path = tmp_path / "coder.yaml"
    path.write_text(file or "networking: {}", encoding="utf-8")
    configuration = load({**environ, "CODER_CONFIG_PATH": str(path)}, flags=flags)
    options = options_by_name(configuration, "coderd")
    for name in ("AI Bridge Rate Limit", "AI Gateway Rate Limit"):
        assert (options[name]["value"], options[name]["value_source"]) == (value, source)
    found = configuration.warnings
    assert len(found) == len(warnings)
    assert all(map(str.startswith, found, warnings)), found


OLD_NAMES = [option for option in CATALOGUE if option.use_instead]


@pytest.mark.parametrize("option", OLD_NAMES, ids=lambda option: option.name)
def test_every_old_name_works_and_is_warned_about_once(option: Option) -> None:
    default = load({})[option.json_path]
    text = next(text for text in samples(option) if option.type.parse(text) != default)
    configuration = load({option.env: text})
    assert configuration[option.json_path] != default
    (warning,) = configuration.warnings
    assert warning.startswith(f"{option.env} is deprecated; use ")
    for name in option.use_instead:
        assert configuration.option(name).env in warning


def test_lists_of_an_old_and_a_new_name_are_not_combined() -> None:
    names = ("CODER_AIBRIDGE_PROXY_DOMAIN_ALLOWLIST", "CODER_AI_GATEWAY_PROXY_DOMAIN_ALLOWLIST")
    path = "ai.aibridge_proxy.domain_allowlist"
    assert load(dict(zip(names, ("old.example", "new.example"), strict=True)))[path] == [
        "new.example"
    ]
    flags = [("ai-gateway-proxy-domain-allowlist", "c")]
    assert load({names[1]: "a,b"}, flags=flags)[path] == ["a", "b", "c"]


@pytest.mark.parametrize("key", OLD_YAML_KEYS)
def test_keys_of_older_files_are_accepted(key: str, tmp_path: Path) -> None:
    group, _, last = key.partition(".")
    option = next(each for each in CATALOGUE if each.yaml_path == OLD_YAML_KEYS[key])
    configuration = load_file(tmp_path / "coder.yaml", f"{group}: {{{last}: {sample(option)}}}")
    assert configuration.sources[option.json_path] is ValueSource.YAML
    assert option.type.format(configuration[option.json_path]) == option.type.format(
        option.type.parse(sample(option))
    )
