
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(db_comment='The unique name.', max_length=64, unique=True)),
                ('type', models.CharField(choices=[('webhook', 'Webhook (signed JSON)'), ('slack', 'Slack'), ('teams', 'Microsoft Teams'), ('ntfy', 'ntfy'), ('email', 'E-mail')], db_comment='How the receiver gets messages.', max_length=16)),
                ('address', models.CharField(db_comment='The URL, or the e-mail address. A URL may contain a secret.', max_length=1024)),
                ('secret', models.CharField(db_comment='The key that signs the messages of a webhook.', editable=False, max_length=64)),
                ('is_enabled', models.BooleanField(db_comment='Whether the channel gets alerts.', default=False, verbose_name='enabled')),
                ('accepted_at', models.DateTimeField(db_comment='When the receiver last accepted a message.', editable=False, null=True, verbose_name='last message')),
                ('failed_at', models.DateTimeField(db_comment='When a test, a message or composing messages last failed.', editable=False, null=True)),
                ('error', models.CharField(blank=True, db_comment='The last failure.', editable=False, max_length=512)),
                ('kinds', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, default=list, help_text='The kinds of alerts that the channel gets. If empty, it gets all kinds.')),
                ('sites', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), blank=True, default=list, help_text='The sites whose alerts the channel gets, one on each line. Without an entry, all sites. Alerts that concern no site are always sent.')),
                ('min_severity', models.PositiveSmallIntegerField(choices=[(1, 'low'), (2, 'medium'), (3, 'high')], db_comment='The lowest severity of its alerts: 1 low, 2 medium, 3 high.', default=1, verbose_name='least severity')),
                ('min_client_days', models.PositiveIntegerField(default=10, help_text='A new group is reported when it has at least this number of client days: its clients of each day, added up.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='client days')),
                ('hourly_limit', models.PositiveIntegerField(default=10, help_text='The maximum number of messages in an hour. One message can list many alerts.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)])),
                ('quiet_from', models.TimeField(blank=True, help_text='From this time (UTC), alerts wait until the quiet hours end.', null=True)),
                ('quiet_until', models.TimeField(blank=True, db_comment='The end of the quiet hours (UTC).', null=True)),
            ],
            options={
                'verbose_name': 'alert channel',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='alerts.channel')),
                ('subject', models.CharField(blank=True, db_comment='The subject of the message.', max_length=255)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Failed'), ('dropped', 'Dropped')], db_comment='pending, sent, failed or dropped.', default='pending', max_length=16)),
                ('created_at', models.DateTimeField()),
                ('due_at', models.DateTimeField(db_comment='The time of the next attempt.')),
                ('sent_at', models.DateTimeField(db_comment='When the receiver accepted the message.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(db_comment='The number of attempts.', default=0)),
                ('error', models.CharField(blank=True, db_comment='The error of the last attempt.', max_length=512)),
            ],
            options={
                'verbose_name': 'alert delivery',
                'verbose_name_plural': 'alert deliveries',
                'ordering': ['-created_at', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='alerts', to='alerts.channel')),
                ('kind', models.CharField(db_comment='The kind, such as csp_group.new.', max_length=32)),
                ('subject_key', models.CharField(db_comment='What the event is about: the id of a group, or the name of a job.', max_length=128)),
                ('occurred_at', models.DateTimeField(db_comment='The time of the event, or when a lasting state was noticed.')),
                ('is_lasting', models.BooleanField(db_comment='Whether the event is a state that lasts.', default=False)),
                ('ended_at', models.DateTimeField(db_comment='When the lasting state ended.', null=True)),
                ('severity', models.PositiveSmallIntegerField(choices=[(1, 'low'), (2, 'medium'), (3, 'high')], db_comment='1 low, 2 medium, 3 high.')),
                ('site', models.CharField(blank=True, db_comment='The site, or empty if the event concerns none.', max_length=255)),
                ('title', models.CharField(db_comment='What has happened, without the kind.', max_length=255)),
                ('weight', models.BigIntegerField(db_comment='The order within a message, highest first: client days, for example.', default=0)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Failed'), ('known', 'Known'), ('dropped', 'Dropped')], db_comment='pending, sent, failed, known or dropped.', default='pending', max_length=16)),
                ('created_at', models.DateTimeField()),
                ('delivery', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='alerts', to='alerts.delivery')),
            ],
            options={
                'ordering': ['-severity', '-weight', 'created_at', 'pk'],
            },
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['due_at'], name='alerts_delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['channel', '-created_at'], name='alerts_delivery_channel'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['channel'], name='alerts_pending'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('ended_at', None), ('is_lasting', True)), fields=['channel', 'kind'], name='alerts_lasting'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('delivery__isnull', False)), fields=['delivery'], name='alerts_of_delivery'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['kind', 'subject_key'], name='alerts_of_key'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(fields=['created_at'], name='alerts_created'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.UniqueConstraint(fields=('channel', 'kind', 'subject_key', 'occurred_at'), name='alerts_once'),
        ),
    ]
