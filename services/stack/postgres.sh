#!/bin/sh
# Run once, on an empty data folder, by the Postgres image: a database and a role of its own for each of the three.
set -eu
make_database() {
    psql -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres -v role="$1" -v secret="$2" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'secret';
CREATE DATABASE :"role" OWNER :"role" ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
}
make_database mlflow "$MLFLOW_DB_PASSWORD"
make_database prefect "$PREFECT_DB_PASSWORD"
make_database predictions "$PREDICTIONS_DB_PASSWORD"
