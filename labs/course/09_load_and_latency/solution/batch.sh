# Scores the served week again, as a table, from the state that training left, with what was reported on the way.
rm -rf scored
lab score-batch week.parquet scored --history "$(python -m rig.week before)" --labels labels.parquet
