# Restarts the service, "so that it takes the other version".
. ./steps.sh
in_front
roll_back_and_restart() {
    lab rollback --reason "drill"
    lab restart scoring
}
under_load roll_back_and_restart
python write_rollback.py
