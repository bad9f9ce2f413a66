"""Checks of the setup beside Coder, for `check_coder` and the home page of the admin.

`setup` checks what coderapi can see: Coder, the proxy, the token and the database. `database`
examines the role, tables and columns of Coder's database, and `coder_options` the options of Coder.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.admin import State


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `fix` is the setting or the line of configuration to change."""

    check: str
    state: State
    message: str
    fix: str = ""

    @classmethod
    def ok(cls, check: str, message: str) -> Finding:
        return cls(check, State.GOOD, message)

    @classmethod
    def failed(cls, check: str, message: str, fix: str) -> Finding:
        return cls(check, State.BAD, message, fix)
