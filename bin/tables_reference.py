"""Generates docs/tables.md: the tables and columns of the database."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection, models

# The apps in the order of the document, with their headings.
APPS = {
    "csp": "CSP reports",
    "stats": "Deployment stats",
    "users": "Users",
    "tokens": "Tokens",
    "audit": "Audit trail",
    "alerts": "Alerts",
    "deployment": "Deployment and configuration",
    "beside": "Beside Coder",
    "jobs": "Jobs",
    "coderapi": "Schema",
}
INTERNAL = frozenset(
    {"beside_readerprogress", "coderapi_schema", "csp_clientkey", "csp_committedbatch"}
    | {"csp_distincthash", "csp_limituse", "deployment_deploymentidentity"}
    | {"stats_staleminute", "tokens_expirynotice", "tokens_policyversion"}
)
# Columns that need no description of their own.
SELF_EVIDENT = {
    "id": "The id.",
    "created_at": "When the row was created.",
    "updated_at": "When the row was last changed.",
    "is_only_row": "True. The table has one row.",
    "number": "The number of the schema.",
    "password": "The hash of the password.",
    "last_login": "When the user last signed in with the password.",
}


def tables_reference() -> str:
    """Returns the list of docs/tables.md: a section for each app, with its tables."""
    lines: list[str] = []
    for label, heading in APPS.items():
        lines.append(f"## {heading}\n")
        for model in apps.get_app_config(label).get_models():
            lines += _table(model)
    return "\n".join(lines)


def _table(model: type[models.Model]) -> Iterator[str]:
    table = model._meta.db_table
    about = (inspect.getdoc(model) or "").partition("\n\n")[0].replace("\n", " ")
    # A reader of the document does not have the code.
    about = re.sub(r" \(see `[^`]+`\)", "", about)
    yield f"### {table}\n"
    yield f"{about}{' *Internal.*' if table in INTERNAL else ''}\n"
    yield "| column | type | meaning |\n|---|---|---|"
    for field in model._meta.concrete_fields:
        if field.column:
            null = " or NULL" if field.null else ""
            yield f"| `{field.column}` | {field.db_type(connection)}{null} | {description(field)} |"
    yield ""


def description(field: models.Field[Any, Any]) -> str:
    """Returns the description of a column. Raises: LookupError if it has none."""
    if found := field.db_comment or field.help_text:
        return str(found)
    if (other := field.related_model) and not isinstance(other, str):
        return f"The id of a row in `{other._meta.db_table}`."
    if field.name not in SELF_EVIDENT:
        raise LookupError(f"The column {field} has no db_comment.")
    return SELF_EVIDENT[field.name]
