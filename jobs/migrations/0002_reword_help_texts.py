from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0001_create_job_run'),
    ]

    operations = [
        migrations.AlterField(
            model_name='jobrun',
            name='host',
            field=models.CharField(help_text='The host and process of the run.', max_length=255),
        ),
        migrations.AlterField(
            model_name='jobrun',
            name='rows',
            field=models.BigIntegerField(blank=True, help_text='The number of rows written or deleted.', null=True),
        ),
        migrations.AlterField(
            model_name='jobrun',
            name='slot',
            field=models.DateTimeField(help_text='The scheduled time of the run.'),
        ),
    ]
