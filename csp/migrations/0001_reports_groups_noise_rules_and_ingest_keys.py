"""Creates the tables of CSP reports, and the built-in noise rules."""

from __future__ import annotations

import datetime
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
    LIKE csp_report_plain INCLUDING COMMENTS INCLUDING DEFAULTS INCLUDING IDENTITY,
    PRIMARY KEY (id, received_at)
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
                ('is_imported', models.BooleanField(db_comment='Whether an import wrote the batch.', db_default=False)),
                ('committed_at', models.DateTimeField(db_comment='When the batch was committed.', db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='ClientKey',
            fields=[
                ('day', models.DateField(db_comment='The day (UTC).', primary_key=True, serialize=False)),
                ('secret', models.BinaryField(db_comment='The key of the hashes. A secret.', max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name='IngestKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(db_comment='The unique name.', max_length=64, unique=True)),
                ('value', models.CharField(db_comment='The key, as in the URL for reports. It is public.', editable=False, max_length=64, unique=True)),
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
                ('name', models.SlugField(db_comment='The unique name.', max_length=64, unique=True)),
                ('category', models.CharField(db_comment='What causes the reports, such as browser extensions.', max_length=64)),
                ('target', models.CharField(choices=[('scheme', 'scheme'), ('host', 'host'), ('path', 'path'), ('document-scheme', "document's scheme"), ('user-agent', 'user agent')], help_text='The part of a report that is compared with the pattern. Scheme, host and path are those of the blocked URL or of the source file.', max_length=16)),
                ('pattern', models.CharField(help_text='For the target scheme: a scheme, such as moz-extension. For host: a host, or *.foo.example for the host and its subdomains. For path: the start of a path, such as /inject/ or foo.example/inject/. For user agent: a part of the user agent.', max_length=255)),
                ('site', models.CharField(blank=True, help_text='Matches only reports of this site.', max_length=255)),
                ('reason', models.TextField(db_comment='Why reports with this pattern are noise.')),
                ('reference_url', models.CharField(blank=True, help_text='A page about this noise.', max_length=255, verbose_name='reference URL')),
                ('is_enabled', models.BooleanField(db_comment='Whether lists hide the groups that the rule labels.', default=True, verbose_name='enabled')),
                ('is_built_in', models.BooleanField(db_comment='Whether the rule is part of coderapi.', default=False, editable=False, verbose_name='built-in')),
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
                ('site', models.CharField(db_comment='The origin of the pages, or other.', default='other', max_length=255)),
                ('directive', models.CharField(blank=True, db_comment='The violated directive.', max_length=64)),
                ('blocked_source', models.CharField(blank=True, db_comment='The host, the scheme or the keyword that was blocked.', max_length=255)),
                ('noise_rule', models.ForeignKey(db_comment='The noise rule (`csp_noiserule`) that hides the group, because all of its reports are noise.', db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='groups', to='csp.noiserule')),
                ('first_seen', models.DateTimeField(db_comment='When the first report arrived.')),
                ('last_seen', models.DateTimeField(db_comment='When the newest report arrived.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('reports', models.BigIntegerField(db_comment='The number of reports in the window that are not noise.', default=0)),
                ('noise_reports', models.BigIntegerField(db_comment='The number of reports in the window that noise rules matched. `reports` omits them.', default=0)),
                ('pages', models.BigIntegerField(db_comment='The number of distinct pages in the window.', default=0)),
                ('client_days', models.BigIntegerField(db_comment='The distinct clients on each day, summed over the days of the window.', default=0)),
                ('window_start', models.DateField(db_comment='The first day of the window: of the last 30 days at its last count.', default=datetime.date.min, editable=False)),
                ('oldest_version_rank', models.CharField(db_collation='C', db_comment='The rank of the oldest version of the site with which the group was reported.', editable=False, max_length=255, null=True)),
                ('client_days_since_state_set', models.BigIntegerField(db_comment='The client days since `state_set_at`.', db_default=0, editable=False)),
                ('state', models.CharField(choices=[('new', 'New'), ('acknowledged', 'Acknowledged'), ('ignored', 'Ignored'), ('resolved', 'Resolved')], db_comment='The state that an operator has set: new, acknowledged, resolved or ignored. The API computes the current state from it: new again, or regressed.', db_default='new', max_length=16)),
                ('state_set_at', models.DateTimeField(db_comment='When an operator set the state.', null=True)),
                ('ignored_until', models.DateTimeField(db_comment='When an ignored group becomes new again.', null=True)),
                ('ignored_client_days', models.BigIntegerField(db_comment='The client days since `state_set_at` after which it is new again.', null=True, verbose_name='ignored for client days')),
                ('note', models.TextField(blank=True, db_comment='The note of the operators.', db_default='')),
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
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
                ('hour', models.DateTimeField(db_comment='The start of the hour.', db_index=True)),
                ('noise_rule_id', models.BigIntegerField(db_comment='The noise rule that matched the reports, or 0.', default=0)),
                ('reports', models.BigIntegerField(db_comment='The number of reports.')),
                ('client_days', models.BigIntegerField(db_comment='The clients whose first report of the day was in this hour.', default=0)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('noise_rule_id__gt', 0)), fields=['noise_rule_id', 'hour'], name='csp_grouphour_noise')],
            },
        ),
        migrations.CreateModel(
            name='LimitUse',
            fields=[
                ('pk', models.CompositePrimaryKey('subject', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subject', models.BinaryField(db_comment='A keyed hash of what is limited: a caller, a network or a cause.', max_length=32)),
                ('hour', models.DateTimeField(db_comment='The start of the hour.')),
                ('used', models.BigIntegerField(db_comment='How much was used.')),
            ],
        ),
        migrations.CreateModel(
            name='SitePolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('site', models.CharField(db_comment='The site.', max_length=255)),
                ('disposition', models.CharField(blank=True, db_comment='enforce or report.', max_length=64)),
                ('digest', models.CharField(db_comment='A digest of the policy in a form that is equal in all browsers.', max_length=64)),
                ('policy', models.TextField(db_comment='The policy.')),
                ('last_new_at', models.DateTimeField(db_comment='When the policy was last new on the site.')),
                ('last_seen', models.DateTimeField(db_comment='When the newest report with the policy arrived.')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('site', 'disposition', 'digest'), name='csp_site_policy_once')],
            },
        ),
        migrations.CreateModel(
            name='DistinctHash',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'kind', 'hash', 'version_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
                ('kind', models.SmallIntegerField(choices=[(1, 'Page'), (2, 'Client Day')], db_comment='1 for a page, 2 for a client on a day.')),
                ('hash', models.BigIntegerField(db_comment='The keyed hash.')),
                ('version_id', models.IntegerField(db_comment='The version of the site, or 0.', default=0)),
                ('day', models.DateField(db_comment='The day of the client, or the last day of the page.')),
            ],
        ),
        migrations.CreateModel(
            name='Version',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('site', models.CharField(db_comment='The site.', max_length=255)),
                ('name', models.CharField(db_comment='The version, as in the URL for reports, or the release of Coder.', max_length=64)),
                ('rank', models.CharField(db_collation='C', db_comment='A text by which the versions of a site are sorted, oldest first.', max_length=255)),
                ('first_seen', models.DateTimeField(db_comment='When the first report with the version arrived.')),
                ('last_seen', models.DateTimeField(db_comment='When the newest report with the version arrived, to the day.')),
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
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='csp.group')),
                ('version', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.version')),
                ('client_days', models.BigIntegerField(db_comment='The client days of the reports with this version.')),
            ],
            options={
                'indexes': [models.Index(fields=['version', '-client_days'], name='csp_groupversion_client_days')],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('received_at', models.DateTimeField(db_comment='When the report arrived.')),
                ('occurred_at', models.DateTimeField(db_comment='When the violation happened, as the browser says.')),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='stored_reports', to='csp.group')),
                ('noise_rule_id', models.BigIntegerField(db_comment='The enabled noise rule that matched the report on arrival, or 0.', default=0, editable=False)),
                ('format', models.CharField(db_comment='The format of the report.', max_length=32)),
                ('document_uri', models.TextField(blank=True, db_comment='The URL of the page.', verbose_name='document URI')),
                ('referrer', models.TextField(blank=True, db_comment='The URL of the referring page.')),
                ('blocked_uri', models.TextField(blank=True, db_comment='The blocked URL or keyword.', verbose_name='blocked URI')),
                ('effective_directive', models.TextField(blank=True, db_comment='The directive that was applied.')),
                ('violated_directive', models.TextField(blank=True, db_comment='The violated directive, as older browsers name it.')),
                ('original_policy', models.TextField(blank=True, db_comment='The policy of the page.')),
                ('disposition', models.CharField(blank=True, db_comment='enforce or report.', max_length=64)),
                ('status_code', models.IntegerField(db_comment='The HTTP status of the page.', null=True)),
                ('sample', models.TextField(blank=True, db_comment='The beginning of the blocked code, without secrets.')),
                ('source_file', models.TextField(blank=True, db_comment='The URL of the file that caused the violation.')),
                ('line_number', models.IntegerField(db_comment='The line in this file.', null=True)),
                ('column_number', models.IntegerField(db_comment='The column in this line.', null=True)),
                ('browser', models.CharField(blank=True, db_comment='The browser and its main version.', max_length=64)),
                ('user_agent', models.TextField(blank=True, db_comment='The user agent.')),
                ('client_address_hash', models.BinaryField(db_comment="A keyed hash of the client's address. It identifies no client after a day.", max_length=16)),
                ('version_name', models.CharField(blank=True, db_comment='The release of Coder, or the version in the URL for reports.', max_length=64, verbose_name='version')),
                ('other_members', models.JSONField(db_comment='The members of the report that have no column.', default=dict)),
                ('represented_reports', models.BigIntegerField(db_comment='The number of reports that this row represents, if only a sample is stored.', db_default=1, editable=False)),
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
                ('day', models.DateField(db_comment='The day (UTC).')),
                ('ingest_key', models.CharField(blank=True, db_comment='The name of the ingest key, or empty.', max_length=64)),
                ('reason', models.CharField(db_comment='Why the requests were rejected.', max_length=64)),
                ('origin', models.CharField(blank=True, db_comment='The header Origin, or empty.', max_length=255)),
                ('requests', models.BigIntegerField(db_comment='The number of requests.', default=0)),
                ('last_seen', models.DateTimeField(db_comment='The time of the newest request.')),
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
                ('type', models.CharField(db_comment='The type, such as deprecation.', max_length=64)),
                ('subject', models.CharField(blank=True, db_comment='What the report is about, such as the deprecated feature.', max_length=128)),
                ('cause_url', models.CharField(blank=True, db_comment='The URL of the cause.', max_length=1024, verbose_name='URL of the cause')),
                ('ingest_key', models.CharField(blank=True, db_comment='The name of the ingest key, or empty.', max_length=64)),
                ('site', models.CharField(db_comment='The origin of the pages, or other.', default='other', max_length=255)),
                ('page_kind', models.CharField(blank=True, db_comment='The kind of page: its URL with placeholders.', max_length=1024, verbose_name='kind of page')),
                ('first_seen', models.DateTimeField(db_comment='When the first report arrived.')),
                ('last_seen', models.DateTimeField(db_comment='When the newest report arrived.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True, editable=False)),
                ('reports', models.BigIntegerField(db_comment='The number of reports.', default=0)),
                ('client_sketch', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_comment='The smallest keyed hashes of the clients on each day.', default=list, editable=False)),
                ('client_days', models.BigIntegerField(db_comment='The number of distinct clients on each day, summed over the days.', default=0)),
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
