from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('imported', models.BooleanField(db_default=False)),
                ('committed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='IngestKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('key', models.CharField(editable=False, max_length=64, unique=True)),
                ('origins', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), help_text='Comma-separated origins such as https://coder.example.com.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('retired_at', models.DateTimeField(blank=True, help_text='From then on it is answered with 410, which tells browsers to stop.', null=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Group',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('directive', models.CharField(blank=True, max_length=64)),
                ('blocked', models.CharField(blank=True, max_length=255)),
                ('document', models.CharField(blank=True, max_length=1024)),
                ('disposition', models.CharField(blank=True, max_length=16)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('count', models.BigIntegerField(default=0)),
                ('noise_count', models.BigIntegerField(default=0)),
                ('pages', models.BigIntegerField(default=0)),
                ('browsers', models.BigIntegerField(default=0)),
                ('days', models.BigIntegerField(default=0)),
                ('client_days', models.BigIntegerField(default=0)),
                ('first_version', models.CharField(blank=True, max_length=64)),
                ('last_version', models.CharField(blank=True, max_length=64)),
            ],
            options={
                'ordering': ['-client_days', '-pages', '-count', 'id'],
                'indexes': [models.Index(fields=['-client_days', '-pages', '-count', 'id'], name='csp_group_reach'), models.Index(fields=['-last_seen'], name='csp_group_last_seen')],
                'constraints': [models.CheckConstraint(condition=models.Q(('noise_count__gte', 0), ('noise_count__lte', models.F('count'))), name='csp_group_noise_within_count')],
            },
        ),
        migrations.CreateModel(
            name='HourCount',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'hour', 'rule_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField()),
                ('rule_id', models.BigIntegerField(default=0)),
                ('count', models.BigIntegerField()),
                ('group', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
        ),
        migrations.CreateModel(
            name='NoiseRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=64, unique=True)),
                ('category', models.CharField(max_length=64)),
                ('target', models.CharField(choices=[('scheme', 'scheme'), ('host', 'host'), ('path', 'path'), ('document-scheme', "document's scheme"), ('user-agent', 'user agent')], help_text='Scheme, host and path are those of the blocked address or of the source file.', max_length=16)),
                ('pattern', models.CharField(help_text="A scheme without colon; a host, or *.host for it and all below it; a path's start; a part of the user agent.", max_length=255)),
                ('reason', models.TextField()),
                ('source', models.CharField(blank=True, help_text='Where this is known from.', max_length=255)),
                ('enabled', models.BooleanField(default=True)),
                ('shipped', models.BooleanField(default=False, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['category', 'name'],
                'constraints': [models.UniqueConstraint(fields=('target', 'pattern'), name='csp_noise_rule_unique')],
            },
        ),
        migrations.CreateModel(
            name='NoiseHit',
            fields=[
                ('pk', models.CompositePrimaryKey('rule_id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('count', models.BigIntegerField()),
                ('rule', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.noiserule')),
            ],
        ),
        migrations.CreateModel(
            name='ReachMember',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'kind', 'member', blank=True, editable=False, primary_key=True, serialize=False)),
                ('kind', models.SmallIntegerField(choices=[(1, 'Page'), (2, 'Browser'), (3, 'Day'), (4, 'Client Day')])),
                ('member', models.BigIntegerField()),
                ('group', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
        ),
    ]
