"""Renders the configuration as JSON documents for clients, without secrets."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from options.configuration import Configuration
from options.option import Group, Option
from options.option_formats import CONFIG_FORMATS, ConfigFormat
from options.redaction import shown_value
from options.values.scalars import Choice

# The path of a member that clients expect. It is always false, because no option sets it.
TRACE = "telemetry.trace"


def config_document(
    configuration: Configuration, *, wire_format: str = "documented"
) -> dict[str, Any]:
    """Returns the member `config` of GET /deployment/config: the values as nested objects."""
    form = CONFIG_FORMATS[wire_format]
    document: dict[str, Any] = {}
    for option in filter(form.has, configuration.leaves):
        value = shown_value(option, configuration)
        if value or not form.may_leave_out(option):
            put(document, form.path(option), form.encode(option.type, value))
    put(document, TRACE, False)
    return document


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Adds a value to nested objects."""
    *above, last = path.split(".")
    for key in above:
        tree = tree.setdefault(key, {})
    tree[last] = value


def options_document(
    configuration: Configuration, *, wire_format: str = "documented"
) -> list[dict[str, Any]]:
    """Returns the member `options` of GET /deployment/config: all options."""
    form = CONFIG_FORMATS[wire_format]
    documents = []
    for option in configuration.options:
        instead = [
            _option(configuration.option(name), configuration, instead=[], form=form)
            for name in option.use_instead
        ]
        if form.is_coderd:
            for document in instead:
                document.pop("value_source", None)
        documents.append(_option(option, configuration, instead=instead, form=form))
    # Coder's server sorts by bytes. UTF-8 has the same order as code points.
    return sorted(documents, key=itemgetter("name")) if form.is_coderd else documents


def _option(
    option: Option,
    configuration: Configuration,
    *,
    instead: list[dict[str, Any]],
    form: ConfigFormat,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": option.name,
        "description": option.description,
        "required": False,
        "flag": option.flag,
        "flag_shorthand": option.flag_shorthand,
        "env": option.env,
        "yaml": option.yaml,
        "default": option.default,
        "value": option_value(option, configuration, form=form),
        "annotations": option.annotations,
        "group": _group(option.group, form=form),
        "use_instead": instead,
        "hidden": option.hidden,
        "value_source": configuration.sources[option.json_path].value,
    }
    return form.trimmed(document, keep="" if option.secret else "value")


def option_value(
    option: Option,
    configuration: Configuration,
    *,
    form: ConfigFormat = CONFIG_FORMATS["documented"],
) -> Any:
    """Returns the option's value for JSON, or None if the option is secret."""
    if option.secret:
        return None
    value = form.encode(option.type, shown_value(option, configuration))
    if form.is_coderd and isinstance(option.type, Choice):
        return {"Choices": list(option.type.choices), "Value": value}
    return value


def _group(group: Group | None, *, form: ConfigFormat) -> dict[str, Any] | None:
    if group is None:
        return None
    document = {
        "parent": _group(group.parent, form=form),
        "name": group.name,
        "yaml": group.yaml,
        "description": group.description,
    }
    return form.trimmed(document)
