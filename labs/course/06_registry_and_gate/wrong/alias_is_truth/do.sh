# Takes the alias for who serves.
python by_hand.py
lab rollback --to 1 --reason "the alias was set by hand in MLflow"
