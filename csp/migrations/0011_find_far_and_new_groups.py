from __future__ import annotations

from django.db import migrations, models

FAR = models.Index(fields=["-client_days", "-pages"], name="csp_group_far")
NEW = models.Index(fields=["first_seen"], name="csp_group_first_seen")

# What an attempt that was broken off left behind is not valid.
ADD = [
    "DROP INDEX CONCURRENTLY IF EXISTS csp_group_far",
    "CREATE INDEX CONCURRENTLY csp_group_far ON csp_group (client_days DESC, pages DESC)",
    "DROP INDEX CONCURRENTLY IF EXISTS csp_group_first_seen",
    "CREATE INDEX CONCURRENTLY csp_group_first_seen ON csp_group (first_seen)",
]
DROP = ["DROP INDEX csp_group_far", "DROP INDEX csp_group_first_seen"]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("csp", "0010_ship_more_noise_rules")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD, DROP)],
            state_operations=[
                migrations.AddIndex("group", FAR),
                migrations.AddIndex("group", NEW),
            ],
        ),
    ]
