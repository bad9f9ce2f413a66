"""The experiments that are known, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of Coder; the safe ones are what `*` stands for."""

    name: str
    state: str
    safe: bool = False


KNOWN: tuple[Experiment, ...] = (
    Experiment("example", "present"),
    Experiment("auto-fill-parameters", "present"),
    Experiment("notifications", "present"),
    Experiment("workspace-usage", "present"),
    Experiment("web-push", "present"),
    Experiment("oauth2", "present"),
    Experiment("mcp-server-http", "present"),
    Experiment("workspace-sharing", "present"),
    Experiment("ai-template-editor", "uncertain"),
    Experiment("terraform-directory-reuse", "removed"),
    Experiment("workspace-prebuilds", "removed"),
    Experiment("aibridge", "uncertain"),
)
