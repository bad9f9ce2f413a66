from __future__ import annotations

from django.db import migrations

# Every process forgets the remembered ingest keys when it hears of this; they change rarely.
ANNOUNCE = """
CREATE FUNCTION csp_announce_ingest_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('coderapi', 'ingest_key:');
    RETURN NULL;
END $$;
CREATE TRIGGER csp_ingestkey_changed AFTER INSERT OR UPDATE OR DELETE ON csp_ingestkey
    FOR EACH STATEMENT EXECUTE FUNCTION csp_announce_ingest_key();
"""

SILENCE = "DROP FUNCTION csp_announce_ingest_key() CASCADE"


class Migration(migrations.Migration):
    dependencies = [("csp", "0003_ship_noise_rules")]

    operations = [migrations.RunSQL(ANNOUNCE, SILENCE)]
