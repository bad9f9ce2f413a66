from __future__ import annotations

from django.db import migrations, models

from kernel.db.partitions import PartitionIndex

INDEX = PartitionIndex(
    table="csp_report",
    name="csp_report_rule",
    suffix="rule",
    definition="(rule_id, received_at DESC) WHERE rule_id IS NOT NULL",
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("csp", "0007_name_uris")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(INDEX.add, INDEX.drop)],
            state_operations=[
                migrations.AddIndex(
                    model_name="report",
                    index=models.Index(
                        fields=["rule_id", "-received_at"],
                        name="csp_report_rule",
                        condition=models.Q(rule_id__isnull=False),
                    ),
                ),
            ],
        ),
    ]
