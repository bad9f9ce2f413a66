from __future__ import annotations

from django.db import migrations

# Every process forgets a remembered key when it hears of these. A sliding expiry and `last_used` are
# no news: commits that notify run one after another, and those two are written all the time.
ANNOUNCE = """
CREATE FUNCTION tokens_announce_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('coderapi', 'key:' || OLD.id);
    RETURN NULL;
END $$;
CREATE TRIGGER tokens_apikey_deleted AFTER DELETE ON tokens_apikey
    FOR EACH ROW EXECUTE FUNCTION tokens_announce_key();
CREATE TRIGGER tokens_apikey_changed AFTER UPDATE ON tokens_apikey
    FOR EACH ROW WHEN (
        NEW.expires_at < OLD.expires_at
        OR ROW (NEW.hashed_secret, NEW.user_id, NEW.scopes, NEW.allow_list, NEW.lifetime_ns)
            IS DISTINCT FROM
           ROW (OLD.hashed_secret, OLD.user_id, OLD.scopes, OLD.allow_list, OLD.lifetime_ns)
    ) EXECUTE FUNCTION tokens_announce_key();

CREATE FUNCTION users_announce_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('coderapi', 'user:' || OLD.id);
    RETURN NULL;
END $$;
CREATE TRIGGER users_user_deleted AFTER DELETE ON users_user
    FOR EACH ROW EXECUTE FUNCTION users_announce_user();
CREATE TRIGGER users_user_changed AFTER UPDATE ON users_user
    FOR EACH ROW WHEN (
        ROW (NEW.status, NEW.roles, NEW.password, NEW.username)
            IS DISTINCT FROM ROW (OLD.status, OLD.roles, OLD.password, OLD.username)
    ) EXECUTE FUNCTION users_announce_user();
"""

SILENCE = """
DROP FUNCTION tokens_announce_key() CASCADE;
DROP FUNCTION users_announce_user() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("tokens", "0001_keys_and_configs")]

    operations = [migrations.RunSQL(ANNOUNCE, SILENCE)]
