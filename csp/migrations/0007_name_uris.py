from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('csp', '0006_lighter_updates'),
    ]

    operations = [
        migrations.AlterField(
            model_name='report',
            name='blocked_uri',
            field=models.TextField(blank=True, verbose_name='blocked URI'),
        ),
        migrations.AlterField(
            model_name='report',
            name='document_uri',
            field=models.TextField(blank=True, verbose_name='document URI'),
        ),
    ]
