from __future__ import annotations

from django.db import migrations

# Room in each page for a row's next version: with no index to touch, that is all an update takes.
LEAVE_ROOM = """
ALTER TABLE csp_group SET (fillfactor = 60);
ALTER TABLE csp_hourcount SET (fillfactor = 60);
"""
LEAVE_NONE = """
ALTER TABLE csp_group RESET (fillfactor);
ALTER TABLE csp_hourcount RESET (fillfactor);
"""


class Migration(migrations.Migration):

    dependencies = [("csp", "0005_write_batch")]

    operations = [
        migrations.RemoveIndex("group", "csp_group_reach"),
        migrations.RemoveIndex("group", "csp_group_last_seen"),
        migrations.RunSQL(LEAVE_ROOM, LEAVE_NONE),
    ]
