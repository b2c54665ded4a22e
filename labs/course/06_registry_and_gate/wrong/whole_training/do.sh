# Takes the run id that the ledger holds.
. ./steps.sh
friday
in_front
python load.py --seconds 2 --rate 20
