"""The catalogue as docs/options.md and as help on the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values import Bool

_UNDER_FLAG = " " * 10

_HEAD = """\
# Options

You can set every option of Coder's server here, by flag, environment variable or YAML file, and
clients see its value. **Obeyed** means that coderapi also acts on it. *Reported* means that it has
no other effect here.

Flags override the environment, the environment overrides the YAML file, and the file overrides the
default. To read a secret from a file, add `_FILE` to its variable's name and set that to the file's
path.

`.env.example` lists coderapi's own variables. Two of them override an option, for a machine that
has the environment of Coder's server: `CODERAPI_HTTP_ADDRESS` overrides the HTTP Address, and
`DATABASE_URL` overrides the Postgres Connection URL. Clients still see the option.

An empty variable counts as not set, with two exceptions: an empty HTTP Address or Human Log
Location switches the listener or the log off.

* `manage.py options` shows the effective values and where each comes from.
* `manage.py options --check FILE` lists the mistakes in a YAML file.
* `manage.py server --write-config` prints the configuration as a YAML file.
* `manage.py config_history` lists the configurations of earlier starts. `--diff` compares two.

coderapi does not support everything that Coder's server does. The start fails, and names the
option, if you set: more than one certificate, a list of ciphers, TLS below 1.2, client certificates
that are optional or not verified, or AWS authentication for PostgreSQL. For TLS, put a proxy in
front instead.
"""


def options_reference() -> str:
    """Returns docs/options.md: a section for each group, an entry for each option."""
    sections = ["\n".join(_section(*found)) for found in _grouped(CATALOGUE)]
    return "\n".join([_HEAD, *sections])


def _grouped(options: Iterable[Option]) -> Iterator[tuple[Group | None, list[Option]]]:
    """Yields the options by group, those without a group first."""
    options = list(options)
    for group in (None, *GROUPS):
        if members := [option for option in options if option.group == group]:
            yield group, members


def _section(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"## {group.path if group else 'Without a group'}\n"
    if group:
        yield f"{group.description}\n"
    for option in options:
        yield f"### {option.name}\n"
        yield f"{option.description}\n"
        yield from (f"* {fact}" for fact in _facts(option))
        yield ""


def _facts(option: Option) -> Iterator[str]:
    obeyed = "**Obeyed**." if option.obeyed else "*Reported*."
    yield f"{obeyed} {option.remark}".rstrip()
    if option.use_instead:
        yield f"Deprecated: use {' and '.join(option.use_instead)}."
    elif option.deprecated:
        yield "Deprecated. It has no effect."
    yield f"Set by {', '.join(_ways(option))}."
    default = f", default `{option.default}`" if option.default else ""
    secret = ", secret" if option.secret else ""
    yield f"Type `{_type_name(option)}`{default}{secret}."


def _ways(option: Option) -> Iterator[str]:
    short = f" or `-{option.flag_shorthand}`" if option.flag_shorthand else ""
    yield f"`--{option.flag}`{short}"
    if option.env:
        yield f"`{option.env}`"
    if option.yaml:
        yield f"`{option.yaml_path}` in YAML"


def flag_help() -> str:
    """Returns a block for each group, without hidden options."""
    shown = [option for option in CATALOGUE if not option.hidden]
    return "\n\n".join("\n".join(_block(*found)) for found in _grouped(shown)) + "\n"


def _block(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"{group.path if group else 'General'}:"
    if group:
        yield from wrapped(group.description, indent="  ")
    for option in options:
        yield ""
        yield f"  {_spellings(option)}"
        default = f" (default: {option.default})" if option.default else ""
        yield from wrapped(option.description + default, indent=_UNDER_FLAG)


def _type_name(option: Option) -> str:
    """Returns the type's name without the backslash that Coder writes before a bar."""
    return option.type.name.replace("\\|", "|")


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {_type_name(option)}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


def wrapped(text: str, *, indent: str, width: int = 92) -> list[str]:
    """Returns the text in indented lines. Does not break words."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
