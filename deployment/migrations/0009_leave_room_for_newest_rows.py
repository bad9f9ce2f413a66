from __future__ import annotations

from django.db import migrations

# Each row is written anew every half minute or so: with room on its page that moves no index entry.
ROOM = "ALTER TABLE deployment_newestagentstat SET (fillfactor = 50)"


class Migration(migrations.Migration):
    dependencies = [("deployment", "0008_know_agent_rows_by_id_within_their_hour")]

    operations = [
        migrations.RunSQL(ROOM, "ALTER TABLE deployment_newestagentstat RESET (fillfactor)")
    ]
