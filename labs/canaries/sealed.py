"""The challenger as a sealed bundle, for the product's own preflight: whole, or damaged before it was sealed."""

from pathlib import Path
from tempfile import TemporaryDirectory

from data.bundle import MODEL, Model, check_golden, seal_bundle, write_scoring_files
from data.errors import BundleRefused
from data.trial import Trial
from labs.canaries.scenario import Canary
from labs.canaries.stage import Stage
from pipelines.rollout.preflight import Preflight, inspect

GOLDEN_ROWS = 20


def inspect_challenger(stage: Stage, canary: Canary, version: str) -> Preflight:
    """What a preflight finds. Raises BundleRefused."""
    damaged = canary.fault.refuses_to_load
    found = stage.remember(("preflight", canary.challenger, damaged), lambda: _inspect(stage, canary, version, damaged))
    if isinstance(found, BundleRefused):
        raise found
    return found


def _inspect(stage: Stage, canary: Canary, version: str, damaged: bool) -> Preflight | BundleRefused:
    learner = stage.learner(canary.challenger)
    with TemporaryDirectory() as folder:
        bundle, keys = Path(folder) / "bundle", Path(folder) / "keys"
        bundle.mkdir()
        text = learner.text[: len(learner.text) // 2] if damaged else learner.text
        (bundle / MODEL).write_bytes(text)
        golden = stage.live.features[:GOLDEN_ROWS]
        scores = learner.model.score_many(golden)
        write_scoring_files(bundle, calibration=learner.calibration, policy=learner.model.policy, golden=golden, golden_scores=scores)
        seal_bundle(bundle, key_folder=keys, sequence=1, facts={})
        try:
            return inspect(bundle, version, keys, _try_here)
        except BundleRefused as refused:
            return refused


def _try_here(folder: Path, tolerance: float) -> Trial:
    """The preflight's trial in this process: that of a child has limits by the wall clock, which no exercise may depend on."""
    return Trial(check_golden(folder, Model.load(folder), tolerance), load_s=0.0)
