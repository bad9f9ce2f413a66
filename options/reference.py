"""The catalogue for operators: a page in Markdown, and the help on the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values import Bool

_WIDTH = 92
_UNDER_FLAG = " " * 10

_HEAD = """\
# Options

Every option of Coder's server can be set here by flag, environment variable or YAML file, and is
shown to clients. **Obeyed** means that this service acts on it. *Reported* means that clients see
the value, and that nothing else happens here.

A flag beats the environment, the environment beats the YAML file, and the file beats the default. A
secret can also be read from a file: add `_FILE` to the name of its variable, and name the file
there. Two of this service's own variables win over an option, for a machine that has the
environment of Coder's server: `CODERAPI_HTTP_ADDRESS` over the HTTP Address, and `DATABASE_URL`
over the Postgres Connection URL. Clients still see the option. `.env.example` lists all variables
of this service's own.

* `manage.py options` shows the values in force and the source of each, and then the same of this
  service's own settings.
* `manage.py options --check FILE` lists the mistakes of a YAML file.
* `manage.py server --write-config` prints the configuration as such a file.
* `manage.py config_history` lists the configurations of earlier starts; `--diff` compares two.

This service cannot do all that Coder's server can. An option that asks for one of these stops the
start with a message that names it: more than one certificate, cipher lists, TLS below 1.2, client
certificates that are optional or unchecked, and signing in to PostgreSQL through AWS. For TLS, put
a proxy in front.
"""
_UNGROUPED = "Without a group"


def options_reference() -> str:
    """Returns the page: a section for each group, an entry for each option."""
    sections = [_HEAD]
    for group in (None, *GROUPS):
        options = [option for option in CATALOGUE if option.group == group]
        if options:
            sections.append("\n".join(_section(group, options)))
    return "\n".join(sections)


def _section(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"## {group.path if group else _UNGROUPED}\n"
    if group:
        yield f"{group.description}\n"
    for option in options:
        yield f"### {option.name}\n"
        yield f"{option.description}\n"
        yield from (f"* {fact}" for fact in _facts(option))
        yield ""


def _facts(option: Option) -> Iterator[str]:
    yield f"{'**Obeyed**' if option.obeyed else '*Reported*'}.{_after(option.remark)}"
    if option.use_instead:
        yield f"Deprecated: use {' and '.join(option.use_instead)}."
    elif option.deprecated:
        yield "Deprecated, without effect."
    yield f"Set by {', '.join(_ways(option))}."
    default = f", default `{option.default}`" if option.default else ""
    secret = ", secret" if option.secret else ""
    yield f"Type `{option.type.name}`{default}{secret}."


def _ways(option: Option) -> Iterator[str]:
    short = f" or `-{option.flag_shorthand}`" if option.flag_shorthand else ""
    yield f"`--{option.flag}`{short}"
    if option.env:
        yield f"`{option.env}`"
    if option.yaml:
        yield f"`{option.yaml_path}` in YAML"


def _after(remark: str) -> str:
    return f" {remark}" if remark else ""


def flag_help() -> str:
    """Returns one block for each group, those without a group first, without hidden options."""
    shown = [option for option in CATALOGUE if not option.hidden]
    blocks = []
    for group in (None, *GROUPS):
        options = [option for option in shown if option.group == group]
        if options:
            blocks.append("\n".join(_block(group, options)))
    return "\n\n".join(blocks) + "\n"


def _block(group: Group | None, options: Sequence[Option]) -> Iterator[str]:
    yield f"{group.path if group else 'General'}:"
    if group:
        yield from _wrapped(group.description, indent="  ")
    for option in options:
        yield ""
        yield f"  {_spellings(option)}"
        default = f" (default: {option.default})" if option.default else ""
        yield from _wrapped(option.description + default, indent=_UNDER_FLAG)


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {option.type.name}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


def _wrapped(text: str, *, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
