from __future__ import annotations

import django.db.models.functions.datetime
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='ConfigRevision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64)),
                ('host', models.CharField(max_length=255)),
                ('version', models.CharField(max_length=64)),
                ('server_url', models.CharField(blank=True, default='', max_length=255)),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('values', models.JSONField(default=dict)),
                ('sources', models.JSONField(default=dict)),
                ('secrets', models.JSONField(default=dict)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='DeploymentIdentity',
            fields=[
                ('is_only_row', models.BooleanField(default=True, editable=False, primary_key=True, serialize=False)),
                ('deployment_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('vapid_private_key', models.BinaryField()),
                ('vapid_public_key', models.CharField(editable=False, max_length=128)),
            ],
            options={
                'verbose_name_plural': 'deployment identities',
                'constraints': [models.CheckConstraint(condition=models.Q(('is_only_row', True)), name='deployment_deploymentidentity_only_one')],
            },
        ),
        migrations.CreateModel(
            name='UpdateCheck',
            fields=[
                ('is_only_row', models.BooleanField(default=True, editable=False, primary_key=True, serialize=False)),
                ('version', models.CharField(blank=True, default='', max_length=64)),
                ('url', models.CharField(blank=True, default='', max_length=512)),
                ('etag', models.CharField(blank=True, default='', max_length=256)),
                ('url_digest', models.CharField(blank=True, default='', max_length=512)),
                ('succeeded_at', models.DateTimeField(null=True)),
                ('failed_at', models.DateTimeField(null=True)),
                ('error', models.CharField(blank=True, default='', max_length=512)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('is_only_row', True)), name='deployment_updatecheck_only_one')],
            },
        ),
    ]
