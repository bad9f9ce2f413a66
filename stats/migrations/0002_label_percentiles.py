from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('stats', '0001_rows_rollups_and_snapshots'),
    ]

    operations = [
        migrations.AlterField(
            model_name='snapshot',
            name='method',
            field=models.CharField(choices=[('exact', 'Exact'), ('histogram', 'Estimated')], max_length=16, verbose_name='percentiles'),
        ),
    ]
