"""Writes the three files of answers from what the log says; a person reads it off the screen."""

from datetime import timedelta
from pathlib import Path

import numpy as np
from study import Live

live = Live.here()
rows = np.ones(len(live.day), dtype=bool)
first = live.payments.iloc[int(np.flatnonzero(live.differs)[0])]
began = first["event_time"].date()
release = (live.day >= began) & (live.day < began + timedelta(days=7))
served, again = live.worth(live.served, release), live.worth(live.again, release)
now, hour, nights = (live.worth(live.with_totals(age), rows) for age in ("live", "an hour old", "of three midnights ago"))
Path("finding.toml").write_text(
    f'first_payment = "{first["transaction_id"]}"\nsince = "{began}"\nfeatures = {len(live.parity(rows).columns)}\nhidden_minutes = 60\n'
)
Path("price.toml").write_text(
    f"served_ap = {served['ap']:.3f}\nreplayed_ap = {again['ap']:.3f}\n"
    f"more_missed = {served['missed'] - again['missed']:.0f}\nlost_per_thousand = {again['saved'] - served['saved']:.1f}\n"
)
Path("stale.toml").write_text(
    f"hour_old_ap = {hour['ap']:.3f}\nthree_nights_old_ap = {nights['ap']:.3f}\n"
    f"lost_per_thousand = {now['saved'] - nights['saved']:.1f}\ntime_to_live_h = 24\n"
    'when_expired = "compute_live"\nlast_hour = "live"\n'
)
