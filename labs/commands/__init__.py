"""What each `lab` command does, one file per group of commands; `labs/cli.py` holds their signatures and help."""
