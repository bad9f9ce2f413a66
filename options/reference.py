"""The catalogue for operators: a page in Markdown, and the help on the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values import Bool

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

An empty variable counts as not set. For the HTTP Address and the Human Log Location it does not:
there, empty switches off what the default switches on.

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


def options_reference() -> str:
    """Returns the page: a section for each group, an entry for each option."""
    sections = ["\n".join(_section(*found)) for found in _grouped(CATALOGUE)]
    return "\n".join([_HEAD, *sections])


def _grouped(options: Iterable[Option]) -> Iterator[tuple[Group | None, list[Option]]]:
    """Yields the options by group, those without a group first."""
    found = {group: [each for each in options if each.group == group] for group in (None, *GROUPS)}
    yield from ((group, members) for group, members in found.items() if members)


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
        yield "Deprecated, without effect."
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
    """Returns one block for each group, without hidden options."""
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
    """Returns the name for people, without the backslash that Coder writes before a bar."""
    return option.type.name.replace("\\|", "|")


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {_type_name(option)}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


def wrapped(text: str, *, indent: str, width: int = 92) -> list[str]:
    """Returns the text in indented lines, which break between words alone."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
