# Restarts the service, "so that it takes the other version".
. ./steps.sh
in_front
python under_load.py bash -c 'lab rollback --reason drill && lab restart scoring'
python write_rollback.py
