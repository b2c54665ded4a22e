# The file is right, and the service runs the old release.
lab drift inject new_totals --scenarios release.toml --days 1
