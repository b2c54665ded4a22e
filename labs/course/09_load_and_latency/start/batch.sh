# Scores the served week again, as a table: `bash batch.sh`, after `python -m rig.week`.
# To the bit as the service answered: what did it know before the first payment, and what was reported on the way?
rm -rf scored
lab score-batch week.parquet scored
