"""The help of the commands that take Coder's flags: these are read before Django's parser sees any.

So the parser knows nothing of them, and only its help speaks of them.
"""

from __future__ import annotations

import argparse
import textwrap

from django.core.management.base import CommandParser

from options.flag_help import flag_help

WIDTH = 92
# Its short form -v is Coder's shorthand for --verbose.
SUPPRESSED = {"--verbosity"}


class _Verbatim(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the epilog, and Django's arguments as few as they are."""


def with_coders_flags(parser: CommandParser) -> CommandParser:
    """The parser, whose help goes on with Coder's flags under Coder's headings."""
    parser.formatter_class = _Verbatim
    parser.description = textwrap.fill(parser.description or "", WIDTH)
    parser.epilog = f"Coder's options:\n\n{flag_help()}"
    return parser
