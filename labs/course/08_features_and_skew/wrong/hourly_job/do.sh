# An hour sounds fresh enough.
lab drift inject new_totals --scenarios release.toml --days 1
python answer.py
sed -i 's/^last_hour = .*/last_hour = "hourly"/' stale.toml
