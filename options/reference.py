"""Generates docs/options.md and the help of the command-line flags from the catalogue."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from options.catalogue import CATALOGUE, GROUPS
from options.option import Group, Option
from options.values.scalars import Bool

_UNDER_FLAG = " " * 10

_HEAD = """\
# Options

coderapi accepts every option of Coder's server, as a flag, an environment variable or a key in a
YAML file. It reports the values to clients. **Obeyed** means that coderapi also acts on the option.
*Reported* means that coderapi reports the option, but does not act on it.

Flags override the environment, the environment overrides the YAML file, and the file overrides the
default. You can also store a secret in a file. Then set the variable with the suffix `_FILE` to the
path of the file, such as `CODER_SCIM_AUTH_HEADER_FILE=/run/secrets/scim`.

Numbered variables configure external auth providers, such as `CODER_EXTERNAL_AUTH_0_ID`, and
providers of the AI gateway, such as `CODER_AI_GATEWAY_PROVIDER_0_TYPE`. The old prefixes
`CODER_GITAUTH_` and `CODER_AIBRIDGE_PROVIDER_` also work.

An old name of an option still works, and the start logs a warning. If both names are set in one
source, the new name overrides the old one.

`.env.example` lists coderapi's own variables. Two of them override an option of Coder's server, so
that coderapi can run in the same environment: `CODERAPI_HTTP_ADDRESS` overrides the HTTP Address,
and `DATABASE_URL` overrides the Postgres Connection URL. Clients still see the value of Coder's
option, not the value that overrides it.

An empty variable counts as not set, with two exceptions: an empty HTTP Address disables the HTTP
listener, and an empty Human Log Location disables the human-readable log.

* `coderapi options` shows the effective values and the source of each value.
* `coderapi options --check FILE` lists the mistakes in a YAML file.
* `coderapi server --write-config` prints the configuration as a YAML file.
* `coderapi list_config_revisions` lists the configurations of earlier starts, or compares two.

coderapi does not support some features of Coder's server. If you configure one of these, coderapi
does not start, and the error names the option:

* more than one certificate
* a list of TLS ciphers
* TLS versions below 1.2
* client certificates that are optional or not verified
* AWS authentication for PostgreSQL

If you need one of the TLS features, let a proxy in front of coderapi terminate TLS.
"""


def options_reference() -> str:
    """Returns the content of docs/options.md: a section for each group, with its options."""
    sections = ["\n".join(_section(*found)) for found in _grouped(CATALOGUE)]
    return "\n".join([_HEAD, *sections])


def _grouped(options: Sequence[Option]) -> Iterator[tuple[Group | None, list[Option]]]:
    """Yields each group with its options. The options without a group come first."""
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
        yield "Deprecated. This option is ignored."
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
    """Returns the help of all flags except hidden ones, with a block for each group."""
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
    """Returns the type's name. Removes the backslash that Coder writes before each `|`."""
    return option.type.name.replace("\\|", "|")


def _spellings(option: Option) -> str:
    shorthand = f"-{option.flag_shorthand}, " if option.flag_shorthand else ""
    value = "" if isinstance(option.type, Bool) else f" {_type_name(option)}"
    variable = f", ${option.env}" if option.env else ""
    return f"{shorthand}--{option.flag}{value}{variable}"


def wrapped(text: str, *, indent: str, width: int = 92) -> list[str]:
    """Returns the text as indented lines of at most `width` characters. Does not break words."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
