-- Creates the role of the service, an ordinary owner of its database. The image of PostgreSQL runs this
-- file once, as a superuser, when the volume is new.
\set password `cat /run/secrets/database_password`
CREATE ROLE coderapi LOGIN PASSWORD :'password';
ALTER DATABASE coderapi OWNER TO coderapi;
