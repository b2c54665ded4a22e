"""The week that was served, as a table for `lab score-batch`: `python -m rig.week`. `… before` names the state of
the features before its first payment, `… compare` holds scored/ against the log."""

import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow.parquet as pq

from data.bundle import Model
from data.dataset import to_table
from data.prediction_frames import labels_frame, window_frame
from data.registry import CHAMPION, Registry
from data.schema import TRANSACTION_COLUMNS
from data.settings import Settings
from labs.stream import midnight, open_stream
from labs.versions import load_version
from pipelines.batch.scoring import BatchRequest, score_table
from rig import beginning


@dataclass(frozen=True)
class Compared:
    """Answers of a batch beside those of the service."""

    payments: int
    missing: int  # that the batch did not answer
    same: int  # equal to the last bit
    other_decision: int


def served(settings: Settings) -> pd.DataFrame:
    """The served week, in order of arrival."""
    live = open_stream(settings, None, 0).live
    return window_frame(settings.log_place, midnight(live), midnight(live + timedelta(days=7)))


def write(settings: Settings, folder: Path) -> None:
    """week.parquet and labels.parquet: what was paid, and which frauds were reported."""
    pq.write_table(to_table(served(settings)[list(TRANSACTION_COLUMNS)], "transactions"), folder / "week.parquet")
    pq.write_table(to_table(labels_frame(settings.log_place), "labels"), folder / "labels.parquet")


def compare(frame: pd.DataFrame, scored: Path) -> Compared:
    """A folder of `lab score-batch` beside the log's rows. Raises OSError or ValueError when there is none."""
    answers = pq.read_table(scored, columns=["transaction_id", "score", "decision"]).to_pandas()
    found = frame[["transaction_id", "score", "decision"]].merge(answers, on="transaction_id", how="left", suffixes=("", "_batch"))
    same = found["score"].to_numpy() == found["score_batch"].to_numpy()
    other = found["decision"].astype(str) != found["decision_batch"].astype(str)
    return Compared(len(found), int(found["score_batch"].isna().sum()), int(same.sum()), int((other & found["score_batch"].notna()).sum()))


def champion(settings: Settings) -> Model:
    """The model that served the week."""
    with Registry.of(settings) as registry:
        return load_version(settings, registry, registry.alias(CHAMPION) or "")


def score(settings: Settings, payments: Path, out: Path, *, history: Path | None, labels: Path | None) -> float:
    """What `lab score-batch` does, with the champion; returns CPU for a payment, in µs."""
    model = champion(settings)
    began = time.process_time()
    summary = score_table(model, BatchRequest(payments, out, history=history, labels=labels))
    return 1e6 * (time.process_time() - began) / summary.rows


def batch_us(settings: Settings) -> float:
    """CPU for a payment of the week, scored as `lab score-batch` does, in µs."""
    with TemporaryDirectory() as name:
        write(settings, Path(name))
        payments, out, labels = (Path(name, file) for file in ("week.parquet", "out", "labels.parquet"))
        return score(settings, payments, out, history=beginning(settings), labels=labels)


def too_late(frame: pd.DataFrame) -> tuple[float, float]:
    """Of the alerts of the service: mean hours until the next midnight, and their EUR per day. A nightly batch would know by then."""
    alerts = frame[frame["decision"].astype(str) != "approve"]
    hours = 24 - (alerts["event_time"] - alerts["event_time"].dt.normalize()).dt.total_seconds() / 3600
    return float(hours.mean()), float(alerts["amount_minor"].sum() / 100 / 7)


if __name__ == "__main__":
    settings = Settings.load()
    if sys.argv[1:] == ["compare"]:
        found = compare(served(settings), Path("scored"))
        print(f"{found.payments:,} payments were served; the batch lacks {found.missing:,}")
        share = found.same / found.payments
        print(f"{found.same:,} scores are equal to the last bit ({share:.2%}); {found.other_decision:,} decisions differ")
        hours, eur = too_late(served(settings))
        print(f"at midnight it would tell of {eur:,.0f} EUR of alerts a day, {hours:.0f} hours after the payment on average")
    elif sys.argv[1:] == ["before"]:
        print(beginning(settings))
    else:
        write(settings, Path())
        print("week.parquet: what was paid. labels.parquet: what was reported.")
        print(f"Saved states of the features, in {settings.home / 'history'}:")
        print("  snapshot   as training left it, before the first payment")
        print("  at-….npz   after so many entries of the log")
