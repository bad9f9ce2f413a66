from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0001_append_only_entries'),
    ]

    operations = [
        migrations.AlterField(
            model_name='entry',
            name='at',
            field=models.DateTimeField(verbose_name='time'),
        ),
    ]
