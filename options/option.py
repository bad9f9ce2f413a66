"""Options and groups of options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from options.values.base import ValueType
from options.values.scalars import Duration

# Marks a name that is derived from the other names. "" means that the name does not exist: for
# example, an option with the YAML key "" cannot be set in YAML.
FOLLOWS = "(follows)"

_PREFIX = "CODER_"
_ACRONYMS = {word.lower(): word for word in ("AI", "CA", "CSP", "HTTP", "ID", "TLS", "URL")}
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class ValueSource(StrEnum):
    """The source of a value, from the lowest to the highest precedence."""

    UNSET = ""
    DEFAULT = "default"
    YAML = "yaml"
    ENV = "env"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of options: a heading in help and documents, and a level of the YAML file.

    `json_path` is the prefix of the JSON paths of the group's options. `flags` is the prefix of
    their flags. By default `flags` is derived from `json_path`. `remark` is the default remark of
    the group's options that are not obeyed. With `snake_case`, derived YAML keys are in snake case.
    """

    name: str
    yaml: str
    description: str
    parent: Group | None = None
    json_path: str = ""
    flags: str = FOLLOWS
    remark: str = ""
    snake_case: bool = False

    def __post_init__(self) -> None:
        if self.flags is FOLLOWS:
            words = re.sub(r"[._]", "-", self.json_path)
            object.__setattr__(self, "flags", f"{words}-" if words else "")

    @property
    def lineage(self) -> tuple[Group, ...]:
        """This group and its ancestors, the outermost group first."""
        return (*self.parent.lineage, self) if self.parent else (self,)

    @property
    def path(self) -> str:
        return " / ".join(group.name for group in self.lineage)

    @property
    def yaml_path(self) -> str:
        return ".".join(group.yaml for group in self.lineage if group.yaml)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of Coder's server, or a setting of coderapi.

    `json_path` is the option's path in the configuration document. Options with the same path share
    one value: one of them has the current name, and the others have old names. `obeyed` means that
    coderapi acts on the value. Other values are only reported. `remark` is a note on an option that
    is not obeyed. The value of a `secret` option is never shown, cannot be set in YAML, and can be
    read from the file that `<env>_FILE` names. `own` marks a setting of coderapi. An empty variable
    counts as not set, unless `empty_counts` is true. If the API reference does not contain
    the value, `documented` is false.

    By default the flag, the YAML key and the JSON path are derived from the variable. For example,
    CODER_TLS_MIN_VERSION in the group TLS has the flag `tls-min-version`, the YAML key `minVersion`
    and the JSON path `tls.min_version`.
    """

    name: str
    description: str
    type: ValueType[Any]
    env: str = ""
    flag: str = FOLLOWS
    flag_shorthand: str = ""
    yaml: str = FOLLOWS
    json_path: str = FOLLOWS
    default: str = ""
    group: Group | None = None
    hidden: bool = False
    secret: bool = False
    enterprise: bool = False
    external_workspace_proxies: bool = False
    use_instead: tuple[str, ...] = ()
    deprecated: bool = False
    obeyed: bool = False
    remark: str = FOLLOWS
    own: bool = False
    empty_counts: bool = False
    documented: bool = True

    def __post_init__(self) -> None:
        if self.flag is FOLLOWS:
            self._set("flag", self.env.removeprefix(_PREFIX).lower().replace("_", "-"))
        key = self.flag.removeprefix(self.group.flags if self.group else "")
        first, *others = key.split("-")
        if self.group and self.group.snake_case:
            key = key.replace("-", "_")
        else:
            key = first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in others)
        if self.yaml is FOLLOWS:
            self._set("yaml", "" if self.secret else key)
        if self.json_path is FOLLOWS:
            above = f"{self.group.json_path}." if self.group and self.group.json_path else ""
            self._set("json_path", above + _WORD_STARTS.sub("_", self.yaml or key).lower())
        if self.remark is FOLLOWS:
            self._set("remark", self.group.remark if self.group and not self.obeyed else "")

    def _set(self, name: str, value: str) -> None:
        object.__setattr__(self, name, value)

    @property
    def yaml_path(self) -> str:
        """Returns the full key in the YAML file, or "" if the file cannot set the option."""
        if not self.yaml:
            return ""
        above = self.group.yaml_path if self.group else ""
        return f"{above}.{self.yaml}" if above else self.yaml

    @property
    def annotations(self) -> dict[str, str]:
        marks = {
            "enterprise": self.enterprise,
            "external_workspace_proxies": self.external_workspace_proxies,
            "format_duration": isinstance(self.type, Duration),
            "secret": self.secret,
        }
        return {mark: "true" for mark, is_set in marks.items() if is_set}


def by_env(catalogue: Iterable[Option]) -> dict[str, Option]:
    """Returns a mapping from environment variables to options."""
    return {option.env: option for option in catalogue if option.env}


def by_file_variable(catalogue: Iterable[Option]) -> dict[str, Option]:
    """Returns a mapping from `<env>_FILE` variables to the secret options that they set.

    Omits a variable if it is an option itself: CODER_EMAIL_AUTH_PASSWORD_FILE, for example.
    """
    options = by_env(catalogue)
    files = {f"{env}_FILE": option for env, option in options.items() if option.secret}
    return {variable: option for variable, option in files.items() if variable not in options}
