from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from options.values import Duration, ValueType


class ValueSource(StrEnum):
    """Where a value comes from; the members stand from the weakest to the strongest."""

    UNSET = ""
    DEFAULT = "default"
    YAML = "yaml"
    ENV = "env"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Group:
    """A heading under which options stand in help and documents, and a level of the YAML file."""

    name: str
    yaml: str
    description: str
    parent: Group | None = None

    @property
    def lineage(self) -> tuple[Group, ...]:
        """This group and those above it, the topmost first."""
        return (*self.parent.lineage, self) if self.parent else (self,)

    @property
    def path(self) -> str:
        return " / ".join(group.name for group in self.lineage)

    @property
    def yaml_path(self) -> str:
        return ".".join(group.yaml for group in self.lineage if group.yaml)


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that an operator can set.

    `json_path` is its place in the configuration document; options that share it share the value,
    and all but one of them are old names. `obeyed` says that this service acts on the value instead
    of only telling it to clients, and `remark` why it does not where that could surprise. A
    `secret` is never shown, and can be read from the file that `<env>_FILE` names.
    """

    name: str
    description: str
    type: ValueType[Any]
    json_path: str
    env: str = ""
    flag: str = ""
    flag_shorthand: str = ""
    yaml: str = ""
    default: str = ""
    group: Group | None = None
    hidden: bool = False
    secret: bool = False
    enterprise: bool = False
    external_workspace_proxies: bool = False
    use_instead: tuple[str, ...] = ()
    deprecated: bool = False
    obeyed: bool = False
    remark: str = ""

    @property
    def yaml_path(self) -> str:
        """The whole key in the YAML file, empty where it cannot be set there."""
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
    """The options by the name of their variable."""
    return {option.env: option for option in catalogue if option.env}


def by_flag(catalogue: Iterable[Option]) -> dict[str, Option]:
    """The options by their flag without its dashes, shorthands included."""
    flags = {option.flag: option for option in catalogue if option.flag}
    return flags | {option.flag_shorthand: option for option in catalogue if option.flag_shorthand}


def by_yaml_path(catalogue: Iterable[Option]) -> dict[str, Option]:
    """The options by their whole key in the YAML file."""
    return {option.yaml_path: option for option in catalogue if option.yaml}


def by_file_variable(catalogue: Iterable[Option]) -> dict[str, Option]:
    """The secret options by the variable that names a file with the secret in it.

    Where another option already has that name, as the file with the e-mail password has, the other
    option keeps it.
    """
    options = by_env(catalogue)
    files = {f"{env}_FILE": option for env, option in options.items() if option.secret}
    return {variable: option for variable, option in files.items() if variable not in options}
