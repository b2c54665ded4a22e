# Looks at the windows of the last hour alone.
lab drift inject new_totals --scenarios release.toml --days 1
python answer.py
sed -i 's/^features = .*/features = 2/' finding.toml
