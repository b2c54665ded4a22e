"""The promotion gate. `python offers.py` asks it about two offers; `lab check 06` about a dozen.

`from pipelines.metrics import average_precision`: (is_fraud, scores) -> float; `weights=` takes how often each row counts.
"""

import pandas as pd


def promote(rows: pd.DataFrame, logged: dict[str, float]) -> bool:
    """May the candidate take the champion's place?

    `rows`: payments that both have scored: card, is_fraud, champion, candidate (two scores, higher is riskier).
    `logged`: the average precision that each one's training run logged, {"champion": …, "candidate": …}.

    Called twice with the same rows, it must answer the same.
    """
    raise NotImplementedError("Write `promote` in gate.py.")
