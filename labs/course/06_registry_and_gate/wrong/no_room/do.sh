# Promises what no day has kept.
. ./steps.sh
in_front
under_load lab rollback --reason "drill"
python write_rollback.py 0.01
