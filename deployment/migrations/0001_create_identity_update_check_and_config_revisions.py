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
                ('digest', models.CharField(db_comment='A digest of the options.', max_length=64)),
                ('host', models.CharField(db_comment='The host that recorded the options.', max_length=255)),
                ('server_version', models.CharField(db_comment='The release of coderapi, or of Coder if coder_url is set.', max_length=64)),
                ('coder_url', models.CharField(blank=True, db_comment='The URL of the Coder deployment whose options these are. Empty for coderapi.', default='', max_length=255, verbose_name='URL of Coder')),
                ('recorded_at', models.DateTimeField(db_comment='When the revision was recorded.', db_default=django.db.models.functions.datetime.Now())),
                ('values', models.JSONField(db_comment='The value of each option, without secrets.', default=dict)),
                ('sources', models.JSONField(db_comment='Where each value comes from: a flag, a variable, a file or the default.', default=dict)),
                ('secret_digests', models.JSONField(db_comment='A keyed digest of each secret, which shows changes. For Coder, its source.', default=dict)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='DeploymentIdentity',
            fields=[
                ('is_only_row', models.BooleanField(default=True, editable=False, primary_key=True, serialize=False)),
                ('deployment_id', models.UUIDField(db_comment='The id of the deployment, as in the build info.', default=uuid.uuid4, editable=False)),
                ('vapid_private_key', models.BinaryField(db_comment='The private key of web push. A secret.')),
                ('vapid_public_key', models.CharField(db_comment='The public key of web push.', editable=False, max_length=128)),
            ],
            options={
                'verbose_name_plural': 'deployment identities',
                'constraints': [models.CheckConstraint(condition=models.Q(('is_only_row', True)), name='deployment_deploymentidentity_only_one')],
            },
        ),
        migrations.CreateModel(
            name='CoderUpdateCheck',
            fields=[
                ('is_only_row', models.BooleanField(default=True, editable=False, primary_key=True, serialize=False)),
                ('version', models.CharField(blank=True, db_comment='The newest known release of Coder.', default='', max_length=64)),
                ('url', models.CharField(blank=True, db_comment='The page of this release.', default='', max_length=512)),
                ('succeeded_at', models.DateTimeField(db_comment='When a check last succeeded.', null=True)),
                ('failed_at', models.DateTimeField(db_comment='When a check last failed.', null=True)),
                ('error', models.CharField(blank=True, db_comment='The error of the last check, or empty.', default='', max_length=512)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('is_only_row', True)), name='deployment_coderupdatecheck_only_one')],
            },
        ),
        migrations.CreateModel(
            name='NewCoderapiRelease',
            fields=[
                ('is_only_row', models.BooleanField(default=True, editable=False, primary_key=True, serialize=False)),
                ('version', models.CharField(blank=True, db_comment='The newest release, or empty.', default='', max_length=64)),
                ('url', models.CharField(blank=True, db_comment='The page of this release.', default='', max_length=512)),
                ('is_security', models.BooleanField(db_comment='Whether this or an earlier new release fixes a vulnerability.', default=False)),
                ('summary', models.CharField(blank=True, db_comment='What the release changes.', default='', max_length=200)),
                ('found_at', models.DateTimeField(db_comment='When the release was first in the feed.', null=True)),
                ('succeeded_at', models.DateTimeField(db_comment='When the feed was last read.', null=True)),
                ('error', models.CharField(blank=True, db_comment='The last error, or empty.', default='', max_length=512)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('is_only_row', True)), name='deployment_newcoderapirelease_only_one')],
            },
        ),
    ]
