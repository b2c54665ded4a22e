# The guide's blocks put version 2 in front; this is its way back.
python under_load.py lab rollback --reason "drill: the way back, while customers pay"
python write_rollback.py
