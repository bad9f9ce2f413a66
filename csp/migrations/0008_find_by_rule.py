from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('csp', '0007_name_uris'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='report',
            index=models.Index(condition=models.Q(('rule_id__isnull', False)), fields=['rule_id', '-received_at'], name='csp_report_rule'),
        ),
    ]
