from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Slices need not be made of what was folded before: a minute says if it has all of its own."""

    dependencies = [("deployment", "0003_config_revisions")]

    operations = [
        migrations.CreateModel(
            name="SliceSum",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "slice",
                        "bucket",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("slice", models.DateTimeField()),
                ("bucket", models.IntegerField()),
                ("row_count", models.BigIntegerField()),
                ("rx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
                ("tx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
            ],
        ),
        migrations.AddField(
            model_name="minutesum",
            name="sliced_count",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
