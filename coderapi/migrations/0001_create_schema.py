from __future__ import annotations

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name='Schema',
            fields=[
                ('number', models.IntegerField(primary_key=True, serialize=False)),
                ('serves_from', models.IntegerField(help_text='The lowest schema number whose release works with this schema.')),
                ('release', models.CharField(help_text='The release that has migrated to it.', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
        ),
    ]
