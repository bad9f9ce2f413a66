"""The program bin/release."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bin.release_build import build
from bin.release_check import check
from bin.release_files import ReleaseError


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/release")
    commands = parser.add_subparsers(required=True, dest="command")
    building = commands.add_parser("build", help="build the files of a release")
    building.add_argument(
        "--repository",
        default="",
        help="the URL of the repository, to which pages and responses link; without it, no link",
    )
    checking = commands.add_parser("check", help="install and use a built release")
    checking.add_argument("directory", type=Path)
    checking.add_argument(
        "--no-tools", action="store_true", help="do not also install it with uv and with pipx"
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build(arguments.repository.rstrip("/"))
        else:
            check(arguments.directory.resolve(), with_tools=not arguments.no_tools)
    except ReleaseError as error:
        sys.exit(f"bin/release: {error}")


if __name__ == "__main__":
    main()
