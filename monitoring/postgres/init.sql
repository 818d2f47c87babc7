-- Run once by the postgres image, on an empty volume: the databases and who may do what in them.
-- Passwords come from the environment and must not reach the server's log, not even by a failing statement.
SET log_min_error_statement = panic;
\getenv password POSTGRES_PASSWORD
\getenv grafana_password GRAFANA_PASSWORD

CREATE ROLE eightbells LOGIN PASSWORD :'password';
CREATE ROLE grafana LOGIN PASSWORD :'grafana_password';

CREATE DATABASE eightbells OWNER eightbells;
CREATE DATABASE prefect OWNER eightbells;
REVOKE CONNECT ON DATABASE prefect FROM PUBLIC;

-- Whoever restores a dump must own all that is in it.
\connect prefect
SET ROLE eightbells;
CREATE EXTENSION pg_trgm;
\connect eightbells
SET ROLE eightbells;
CREATE EXTENSION pg_trgm;
RESET ROLE;

-- Grafana sees the tables of the migrations, and changes none.
ALTER DEFAULT PRIVILEGES FOR ROLE eightbells IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';

-- The superuser can no longer come in over the network, only from within the container.
ALTER ROLE postgres PASSWORD NULL;
