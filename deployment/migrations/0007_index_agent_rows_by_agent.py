from __future__ import annotations

from django.db import migrations, models

from kernel.db.partitions import PartitionIndex

INDEX = PartitionIndex(
    table="deployment_agentstat",
    name="agent_stat_of_agent",
    suffix="of_agent",
    definition="(agent_id, created_at)",
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deployment", "0006_fold_usage_of_kept_rows")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(INDEX.add, INDEX.drop)],
            state_operations=[
                migrations.AddIndex(
                    model_name="agentstat",
                    index=models.Index(
                        fields=["agent_id", "created_at"], name="agent_stat_of_agent"
                    ),
                ),
            ],
        ),
    ]
