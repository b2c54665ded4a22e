# Promises what no day has kept.
. ./steps.sh
in_front
python under_load.py lab rollback --reason drill
python write_rollback.py 0.001
