"""Creates the tables of report collection, and the built-in noise rules."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.db import migrations, models

from csp.noise.built_in import add_built_in

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
ALTER TABLE csp_hourcount SET (fillfactor = 60);
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

    dependencies = [('users', '0001_users_and_organization')]

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
            name='ClientKey',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('key', models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name='IngestKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('key', models.CharField(editable=False, max_length=64, unique=True)),
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
                ('source', models.CharField(blank=True, help_text='A page about this noise.', max_length=255)),
                ('enabled', models.BooleanField(default=True)),
                ('built_in', models.BooleanField(default=False, editable=False, verbose_name='built-in')),
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
                ('blocked', models.CharField(blank=True, max_length=255, verbose_name='blocked source')),
                ('rule', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='groups', to='csp.noiserule', verbose_name='noise rule')),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('count', models.BigIntegerField(default=0, verbose_name='reports')),
                ('pages', models.BigIntegerField(default=0)),
                ('client_days', models.BigIntegerField(default=0, verbose_name='clients (sum of days)')),
                ('oldest_version', models.CharField(db_collation='C', editable=False, max_length=255, null=True)),
                ('state', models.CharField(choices=[('new', 'New'), ('acknowledged', 'Acknowledged'), ('ignored', 'Ignored'), ('resolved', 'Resolved')], db_default='new', max_length=16)),
                ('state_at', models.DateTimeField(null=True, verbose_name='state set at')),
                ('ignored_until', models.DateTimeField(null=True)),
                ('ignored_reach', models.BigIntegerField(null=True, verbose_name='ignored up to clients (sum of days)')),
                ('note', models.TextField(blank=True, db_default='')),
                ('assigned_to', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='users.user')),
            ],
            options={
                'verbose_name': 'violation group',
                'ordering': ['-client_days', '-pages', '-count', 'id'],
                'indexes': [models.Index(fields=['-client_days', '-pages'], name='csp_group_far'), models.Index(fields=['first_seen'], name='csp_group_first_seen'), models.Index(fields=['site', 'opened_at'], name='csp_group_site'), models.Index(condition=models.Q(('rule__isnull', False)), fields=['rule'], name='csp_group_rule'), models.Index(condition=models.Q(('assigned_to__isnull', False)), fields=['assigned_to'], name='csp_group_assigned')],
            },
        ),
        migrations.CreateModel(
            name='HourCount',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(db_index=True)),
                ('count', models.BigIntegerField()),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
        ),
        migrations.CreateModel(
            name='NewGroups',
            fields=[
                ('pk', models.CompositePrimaryKey('caller', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('caller', models.BinaryField(max_length=16)),
                ('hour', models.DateTimeField()),
                ('count', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='SettledPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('site', models.CharField(max_length=255)),
                ('disposition', models.CharField(blank=True, max_length=64)),
                ('form', models.CharField(max_length=64)),
                ('policy', models.TextField()),
                ('settled_at', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('site', 'disposition', 'form'), name='csp_settled_policy_once')],
            },
        ),
        migrations.CreateModel(
            name='ReachMember',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'kind', 'member', 'version_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('kind', models.SmallIntegerField(choices=[(1, 'Page'), (2, 'Client Day')])),
                ('member', models.BigIntegerField()),
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
                'indexes': [models.Index(fields=['version', '-client_days'], name='csp_groupversion_far')],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('received_at', models.DateTimeField()),
                ('occurred_at', models.DateTimeField()),
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
                ('client', models.BinaryField(max_length=16)),
                ('version', models.CharField(blank=True, max_length=64)),
                ('extra', models.JSONField(default=dict)),
                ('weight', models.BigIntegerField(db_default=1, editable=False)),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='reports', to='csp.group')),
            ],
            options={
                'ordering': ['-received_at', '-id'],
                'indexes': [models.Index(fields=['-received_at', '-id'], name='csp_report_received'), models.Index(fields=['group', '-received_at'], name='csp_report_group')],
            },
        ),
        migrations.RunSQL(PARTITION_REPORTS, migrations.RunSQL.noop),
        migrations.RunSQL(LEAVE_ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(ANNOUNCE, "DROP FUNCTION csp_announce() CASCADE"),
        migrations.RunPython(add_rules, migrations.RunPython.noop),
    ]
