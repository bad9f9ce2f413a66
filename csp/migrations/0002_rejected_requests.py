
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('csp', '0001_reports_groups_and_rules'),
    ]

    operations = [
        migrations.CreateModel(
            name='Rejection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('key', models.CharField(blank=True, max_length=64, verbose_name='ingest key')),
                ('reason', models.CharField(max_length=64)),
                ('origin', models.CharField(blank=True, max_length=255)),
                ('count', models.BigIntegerField(default=0, verbose_name='requests')),
                ('last_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'rejected request',
                'ordering': ['-day', '-count', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('day', 'key', 'reason', 'origin'), name='csp_rejection_once')],
            },
        ),
    ]
