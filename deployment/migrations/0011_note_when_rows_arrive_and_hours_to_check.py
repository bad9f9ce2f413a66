from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Now

# What is as good as random cannot be packed.
AS_THEY_ARE = "ALTER TABLE deployment_closedhour ALTER COLUMN fingerprints SET STORAGE EXTERNAL"
# Nothing else may use the table meanwhile, and what waits for that keeps all else waiting.
WAIT = "SET LOCAL lock_timeout = '10s'"
# With a volatile default the column could only be added by writing every row anew.
PRECISE = "ALTER TABLE deployment_agentstat ALTER COLUMN arrived_at SET DEFAULT clock_timestamp()"


class Migration(migrations.Migration):
    dependencies = [("deployment", "0010_figures_of_agents")]

    operations = [
        migrations.CreateModel(
            name="UncheckedHour",
            fields=[
                ("start", models.DateTimeField(primary_key=True, serialize=False)),
                ("marks", models.BigIntegerField(db_default=1, default=1)),
                ("compared_to", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="fileimport",
            name="checksum",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="closedhour",
            name="row_count",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="closedhour",
            name="fingerprints",
            field=models.BinaryField(null=True),
        ),
        migrations.RunSQL(AS_THEY_ARE, migrations.RunSQL.noop),
        migrations.RunSQL(WAIT, WAIT),
        migrations.AddField(
            model_name="agentstat",
            name="arrived_at",
            field=models.DateTimeField(db_default=Now()),
        ),
        migrations.RunSQL(PRECISE, migrations.RunSQL.noop),
    ]
