from __future__ import annotations

from django.db import migrations

# What came before usage was folded: the raw rows that are kept have it.
FOLD_KEPT_ROWS = """
INSERT INTO deployment_usageminute (
    agent_id, minute, session_count_vscode, session_count_jetbrains,
    session_count_reconnecting_pty, session_count_ssh
)
SELECT agent_id, date_trunc('minute', created_at, 'UTC'), sum(session_count_vscode),
       sum(session_count_jetbrains), sum(session_count_reconnecting_pty), sum(session_count_ssh)
FROM deployment_agentstat WHERE usage GROUP BY 1, 2
"""


class Migration(migrations.Migration):
    dependencies = [("deployment", "0005_fold_usage_minutes")]

    operations = [migrations.RunSQL(FOLD_KEPT_ROWS, migrations.RunSQL.noop)]
