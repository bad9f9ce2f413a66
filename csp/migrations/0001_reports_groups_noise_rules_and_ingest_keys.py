"""Creates the tables of CSP reports, and the built-in noise rules."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models

from csp.migrations._built_in_rules import add_built_in

# Django cannot create partitioned tables, so a partitioned table replaces the table that Django has
# created. A primary key must include the column by which the table is partitioned, so it is (id,
# received_at) in PostgreSQL, and `id` only in Django's model. Django creates the indexes at the end
# of the migration, on the new table.
PARTITION_REPORTS = """
ALTER TABLE csp_report RENAME TO csp_report_plain;
CREATE TABLE csp_report (
    LIKE csp_report_plain INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
DROP TABLE csp_report_plain;
"""

# Leaves free space in each page for new versions of its rows, so that updates change no index
# (heap-only updates).
LEAVE_ROOM = """
ALTER TABLE csp_group SET (fillfactor = 60);
ALTER TABLE csp_grouphour SET (fillfactor = 60);
"""

# Sends a notification when an ingest key or a noise rule changes. Every process that receives it
# evicts its cached keys or rules.
ANNOUNCE = """
CREATE FUNCTION csp_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('coderapi', TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE TRIGGER csp_ingestkey_changed AFTER INSERT OR UPDATE OR DELETE ON csp_ingestkey
    FOR EACH STATEMENT EXECUTE FUNCTION csp_announce('ingest_key:');
CREATE TRIGGER csp_noiserule_changed AFTER INSERT OR UPDATE OR DELETE ON csp_noiserule
    FOR EACH STATEMENT EXECUTE FUNCTION csp_announce('noise_rule:');
"""


def add_rules(apps, schema_editor):
    add_built_in(apps.get_model("csp", "NoiseRule"))


class Migration(migrations.Migration):

    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name='CommittedBatch',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('is_imported', models.BooleanField(db_default=False)),
                ('committed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='ClientKey',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('secret', models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name='IngestKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('value', models.CharField(editable=False, max_length=64, unique=True)),
                ('origins', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), help_text='The origins of the pages that may use this key, separated by commas, such as https://coder.example.com.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('retired_at', models.DateTimeField(blank=True, help_text='From this time on, reports with this key get a 410 response, and browsers stop sending reports.', null=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='NoiseRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=64, unique=True)),
                ('category', models.CharField(max_length=64)),
                ('target', models.CharField(choices=[('scheme', 'scheme'), ('host', 'host'), ('path', 'path'), ('document-scheme', "document's scheme"), ('user-agent', 'user agent')], help_text='The part of a report that is compared with the pattern. Scheme, host and path are those of the blocked URL or of the source file.', max_length=16)),
                ('pattern', models.CharField(help_text='For the target scheme: a scheme, such as moz-extension. For host: a host, or *.foo.example for the host and its subdomains. For path: the start of a path, such as /inject/ or foo.example/inject/. For user agent: a part of the user agent.', max_length=255)),
                ('site', models.CharField(blank=True, help_text='Matches only reports of this site.', max_length=255)),
                ('reason', models.TextField()),
                ('reference_url', models.CharField(blank=True, help_text='A page about this noise.', max_length=255, verbose_name='reference URL')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('is_built_in', models.BooleanField(default=False, editable=False, verbose_name='built-in')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['category', 'name'],
                'constraints': [models.UniqueConstraint(fields=('target', 'pattern', 'site'), name='csp_noise_rule_unique')],
            },
        ),
        migrations.CreateModel(
            name='Group',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('site', models.CharField(default='other', max_length=255)),
                ('directive', models.CharField(blank=True, max_length=64)),
                ('blocked_source', models.CharField(blank=True, max_length=255)),
                ('noise_rule', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='groups', to='csp.noiserule')),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('reports', models.BigIntegerField(default=0)),
                ('noise_reports', models.BigIntegerField(default=0)),
                ('pages', models.BigIntegerField(default=0)),
                ('client_days', models.BigIntegerField(default=0)),
                ('oldest_version_rank', models.CharField(db_collation='C', editable=False, max_length=255, null=True)),
                ('state', models.CharField(choices=[('new', 'New'), ('acknowledged', 'Acknowledged'), ('ignored', 'Ignored'), ('resolved', 'Resolved')], db_default='new', max_length=16)),
                ('state_set_at', models.DateTimeField(null=True)),
                ('ignored_until', models.DateTimeField(null=True)),
                ('ignored_client_days', models.BigIntegerField(null=True, verbose_name='ignored up to client days')),
                ('note', models.TextField(blank=True, db_default='')),
                ('assigned_to', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'violation group',
                'ordering': ['-client_days', '-pages', '-reports', 'id'],
                'indexes': [models.Index(fields=['-client_days', '-pages'], name='csp_group_client_days'), models.Index(fields=['first_seen'], name='csp_group_first_seen'), models.Index(fields=['site', 'created_at'], name='csp_group_site'), models.Index(condition=models.Q(('noise_rule__isnull', False)), fields=['noise_rule'], name='csp_group_noise_rule'), models.Index(condition=models.Q(('assigned_to__isnull', False)), fields=['assigned_to'], name='csp_group_assigned')],
            },
        ),
        migrations.CreateModel(
            name='GroupHour',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'hour', 'noise_rule_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(db_index=True)),
                ('noise_rule_id', models.BigIntegerField(default=0)),
                ('reports', models.BigIntegerField()),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('noise_rule_id__gt', 0)), fields=['noise_rule_id', 'hour'], name='csp_grouphour_noise')],
            },
        ),
        migrations.CreateModel(
            name='LimitUse',
            fields=[
                ('pk', models.CompositePrimaryKey('subject', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subject', models.BinaryField(max_length=32)),
                ('hour', models.DateTimeField()),
                ('used', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='SettledPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('site', models.CharField(max_length=255)),
                ('disposition', models.CharField(blank=True, max_length=64)),
                ('digest', models.CharField(max_length=64)),
                ('policy', models.TextField()),
                ('settled_at', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('site', 'disposition', 'digest'), name='csp_settled_policy_once')],
            },
        ),
        migrations.CreateModel(
            name='DistinctHash',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'kind', 'hash', 'version_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('kind', models.SmallIntegerField(choices=[(1, 'Page'), (2, 'Client Day')])),
                ('hash', models.BigIntegerField()),
                ('version_id', models.IntegerField(default=0)),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
        ),
        migrations.CreateModel(
            name='Version',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('site', models.CharField(max_length=255)),
                ('name', models.CharField(max_length=64)),
                ('rank', models.CharField(db_collation='C', max_length=255)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'ordering': ['site', 'rank'],
                'constraints': [models.UniqueConstraint(fields=('site', 'name'), name='csp_version_once')],
            },
        ),
        migrations.CreateModel(
            name='GroupVersion',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'version_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('client_days', models.BigIntegerField()),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='csp.group')),
                ('version', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.version')),
            ],
            options={
                'indexes': [models.Index(fields=['version', '-client_days'], name='csp_groupversion_client_days')],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('received_at', models.DateTimeField()),
                ('occurred_at', models.DateTimeField()),
                ('noise_rule_id', models.BigIntegerField(default=0, editable=False)),
                ('format', models.CharField(max_length=32)),
                ('document_uri', models.TextField(blank=True, verbose_name='document URI')),
                ('referrer', models.TextField(blank=True)),
                ('blocked_uri', models.TextField(blank=True, verbose_name='blocked URI')),
                ('effective_directive', models.TextField(blank=True)),
                ('violated_directive', models.TextField(blank=True)),
                ('original_policy', models.TextField(blank=True)),
                ('disposition', models.CharField(blank=True, max_length=64)),
                ('status_code', models.IntegerField(null=True)),
                ('sample', models.TextField(blank=True)),
                ('source_file', models.TextField(blank=True)),
                ('line_number', models.IntegerField(null=True)),
                ('column_number', models.IntegerField(null=True)),
                ('browser', models.CharField(blank=True, max_length=64)),
                ('user_agent', models.TextField(blank=True)),
                ('client_hash', models.BinaryField(max_length=16)),
                ('version_name', models.CharField(blank=True, max_length=64, verbose_name='version')),
                ('other_members', models.JSONField(default=dict)),
                ('represented_reports', models.BigIntegerField(db_default=1, editable=False)),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='stored_reports', to='csp.group')),
            ],
            options={
                'ordering': ['-received_at', '-id'],
                'indexes': [models.Index(fields=['-received_at', '-id'], name='csp_report_received'), models.Index(fields=['group', 'noise_rule_id', '-received_at'], name='csp_report_group')],
            },
        ),
        migrations.CreateModel(
            name='Rejection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('ingest_key', models.CharField(blank=True, max_length=64)),
                ('reason', models.CharField(max_length=64)),
                ('origin', models.CharField(blank=True, max_length=255)),
                ('requests', models.BigIntegerField(default=0)),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'rejected request',
                'ordering': ['-day', '-requests', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('day', 'ingest_key', 'reason', 'origin'), name='csp_rejection_once')],
            },
        ),
        migrations.CreateModel(
            name='OtherReport',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=64)),
                ('subject', models.CharField(blank=True, max_length=128)),
                ('url', models.CharField(blank=True, max_length=1024, verbose_name='URL of the cause')),
                ('ingest_key', models.CharField(blank=True, max_length=64)),
                ('site', models.CharField(default='other', max_length=255)),
                ('page_kind', models.CharField(blank=True, max_length=1024, verbose_name='kind of page')),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False)),
                ('reports', models.BigIntegerField(default=0)),
                ('client_sketch', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, editable=False)),
                ('client_days', models.BigIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'other report',
                'ordering': ['-client_days', '-reports', 'id'],
                'indexes': [models.Index(fields=['type', 'site'], name='csp_otherreport_type')],
            },
        ),
        migrations.RunSQL(PARTITION_REPORTS, migrations.RunSQL.noop),
        migrations.RunSQL(LEAVE_ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(ANNOUNCE, "DROP FUNCTION csp_announce() CASCADE"),
        migrations.RunPython(add_rules, migrations.RunPython.noop),
    ]
