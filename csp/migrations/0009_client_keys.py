from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('csp', '0008_find_by_rule'),
    ]

    operations = [
        migrations.CreateModel(
            name='ClientKey',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('key', models.BinaryField(max_length=32)),
            ],
        ),
    ]
