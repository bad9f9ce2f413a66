from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('stats', '0002_count_sessions_by_application')]

    # NULL in the rollups that exist: the rows without a latency were not summed.
    operations = [
        migrations.AddField('rollup', name, models.DecimalField(decimal_places=0, max_digits=40, null=True))
        for name in ('unmeasured_rx_bytes', 'unmeasured_tx_bytes')
    ]
