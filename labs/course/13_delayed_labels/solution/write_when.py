"""Writes when.toml from hear.py and the running lab: `python write_when.py`."""

from pathlib import Path

import record
from hear import hear

found = record.read()
when, needed = found.heard(hear)
_, lost = found.missed(found.onset, when)
Path("when.toml").write_text(f'known_on = "{when:%Y-%m-%d}"\nreports_needed = {needed}\nlost_by_then_eur = {lost:.0f}\n')
