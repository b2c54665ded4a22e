# What a person types and reads, for do.sh.

friday() {
    python by_hand.py
    lab rollback --to 1 --reason "the alias was set by hand in MLflow"
}

in_front() {
    lab rollback --to 2 --reason "better beyond noise, says gate.py"
}

under_load() { # the command that is run in the middle of it
    python load.py --seconds 8 &
    load=$!
    python wait_for_load.py
    "$@"
    wait "$load"
}
