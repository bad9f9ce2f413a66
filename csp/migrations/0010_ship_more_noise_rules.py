from __future__ import annotations

from django.db import migrations

from csp.shipped_rules import ship


def add(apps, schema_editor):
    ship(apps.get_model("csp", "NoiseRule"))


class Migration(migrations.Migration):

    dependencies = [("csp", "0009_client_keys")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
