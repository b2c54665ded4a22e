"""What an earlier run left in the lab's folder, moved to `previous/`: a demo and a course each begin with a state of their own.

Nothing is lost until the next one sets aside in its turn. Used by the demo and by the lab engine.
"""

import shutil
from pathlib import Path
from typing import Final

# What one run leaves and the next one must not find. Datasets, keys and logs stay.
_LOG: Final = tuple(f"{name}{suffix}" for name in ("predictions.db", "predictions.ids.db") for suffix in ("", "-wal", "-shm"))
_STATE: Final = (
    *("mlflow", "prefect", "scoring", *_LOG, "history", "models", "cache", "ledger.jsonl", "live.json", "reports", "evidence", "load"),
    *("drift_calibration.json", "monitoring"),
)
PREVIOUS: Final = "previous"


def set_aside(home: Path) -> Path | None:
    """Move what an earlier run left to `previous`; what was there goes. Returns where it is now, None when there was nothing."""
    there = [home / name for name in _STATE if (home / name).exists()]
    if not there:
        return None
    aside = home / PREVIOUS
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for path in there:
        path.rename(aside / path.name)
    return aside
