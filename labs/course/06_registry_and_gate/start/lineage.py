"""From a payment back to what decided it. `python lineage.py TRANSACTION_ID` prints the walk.

What there is to walk on, with `settings = Settings.load()` of data.settings:
- data.prediction_frames: `window_frame(settings.log_place, start, end)`, the payments of the log with their answers;
  `window_matrix`, asked in the same way, row by row their features as the models saw them;
- data.registry: `with Registry.of(settings) as registry:` has `alias`, `version` (run id, tags), `download(version, folder)`;
- data.bundle: FACTS, the file among a version's files that says where it is from; `verify_bundle(folder, key_folder=…)`, the keys are in
  `settings.home / "keys"`; `Model.load(folder, version).score_many(features)`;
- data.ledger: `Ledger(settings.home / "ledger.jsonl").entries()`.
"""

import sys
from typing import Any


def walk(transaction_id: str) -> dict[str, Any]:
    """What decided this payment:

    version         the registered version that answered
    run_id          the training run that made it
    data_digest     the hash of the rows that it was trained and judged on
    code_revision   the code that trained it
    score           that version's score of this payment, computed again from the features in the log
    """
    raise NotImplementedError("Write `walk` in lineage.py.")


if __name__ == "__main__":
    for name, value in walk(sys.argv[1]).items():
        print(f"{name:<15}{value}")
