"""From a payment back to what decided it. `python lineage.py TRANSACTION_ID` prints the walk."""

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.bundle import FACTS, Model, verify_bundle
from data.prediction_frames import window_frame, window_matrix
from data.registry import Registry
from data.settings import Settings


def walk(transaction_id: str) -> dict[str, Any]:
    """What decided this payment: the log names the version, its sealed bundle the rest."""
    settings = Settings.load()
    window = settings.log_place, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    rows = window_frame(*window)
    place = int((rows["transaction_id"] == transaction_id).to_numpy().argmax())
    version = str(rows["model_version"].iloc[place])
    with Registry.of(settings) as registry, tempfile.TemporaryDirectory() as name:
        registry.download(version, folder := Path(name))
        verify_bundle(folder, key_folder=settings.home / "keys")
        facts = json.loads((folder / FACTS).read_text())
        score = Model.load(folder, version).score_many(window_matrix(*window)[[place]])[0]
    return {
        "version": version,
        "run_id": facts["run_id"],
        "data_digest": facts["data_digest"],
        "code_revision": facts["code_revision"],
        "score": float(score),
    }


if __name__ == "__main__":
    for name, value in walk(sys.argv[1]).items():
        print(f"{name:<15}{value}")
