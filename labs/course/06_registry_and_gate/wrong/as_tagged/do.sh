# Believes MLflow's tags.
. ./steps.sh
friday
in_front
python load.py --seconds 2 --rate 20
