from __future__ import annotations

import datetime

from django.db import migrations, models

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Migration(migrations.Migration):

    dependencies = [('beside', '0001_create_tokens_and_reading')]

    operations = [
        migrations.AddField('databasereading', 'looked_at', models.DateTimeField(db_default=EPOCH, default=EPOCH)),
    ]
