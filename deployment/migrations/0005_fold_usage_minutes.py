from __future__ import annotations

from django.db import migrations, models

SESSIONS = ("vscode", "jetbrains", "reconnecting_pty", "ssh")


class Migration(migrations.Migration):
    dependencies = [("deployment", "0004_fold_slices")]

    operations = [
        migrations.CreateModel(
            name="UsageMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "agent_id",
                        "minute",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("agent_id", models.UUIDField()),
                ("minute", models.DateTimeField(db_index=True)),
                *(
                    (
                        f"session_count_{kind}",
                        models.DecimalField(decimal_places=0, max_digits=40),
                    )
                    for kind in SESSIONS
                ),
            ],
        ),
    ]
