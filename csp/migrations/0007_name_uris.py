from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('csp', '0006_lighter_updates'),
    ]

    operations = [
        migrations.AlterField(
            model_name='noiserule',
            name='pattern',
            field=models.CharField(
                help_text="A scheme, such as moz-extension; a host, or *.host for it and all below it; "
                "a path's start, on every host or behind one; a part of the user agent.",
                max_length=255,
            ),
        ),
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
