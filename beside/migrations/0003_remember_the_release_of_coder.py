from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("beside", "0002_look_for_late_rows_by_the_clock")]

    operations = [
        migrations.CreateModel(
            name="CoderRelease",
            fields=[
                (
                    "only",
                    models.BooleanField(
                        default=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.CharField(max_length=64)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("only", True)), name="coder_release_only_one"
                    )
                ]
            },
        )
    ]
