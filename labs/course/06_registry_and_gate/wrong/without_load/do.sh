# Rolls back at night, when nobody pays.
. ./steps.sh
in_front
python load.py --seconds 2
lab rollback --reason drill
python write_rollback.py
