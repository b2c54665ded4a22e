"""The pictures kept with a run: precision-recall, calibration, cost curve, importances. The only file here that draws.

The evidence report draws its own from the same numbers; these are for MLflow's page.
"""

from pathlib import Path
from typing import Any

from pipelines.training.request import CalibrationFacts, ModelEvaluation, ThresholdFacts


def save_plots(
    folder: Path,
    models: tuple[ModelEvaluation, ...],
    calibration: CalibrationFacts,
    thresholds: ThresholdFacts,
    importances: tuple[tuple[str, float], ...],
) -> None:
    """Write four PNG files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "precision_recall.png", lambda axes: _precision_recall(axes, models))
    _save(folder / "calibration.png", lambda axes: _calibration(axes, calibration))
    _save(folder / "cost_curve.png", lambda axes: _cost_curve(axes, thresholds))
    _save(folder / "importance.png", lambda axes: _importance(axes, importances))


def _save(file: Path, draw: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would keep figures and look for a display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    figure.savefig(file)


def _precision_recall(axes: Any, models: tuple[ModelEvaluation, ...]) -> None:
    for model in models:
        value = model.metrics["average_precision"].value
        axes.plot(model.precision_recall.x, model.precision_recall.y, label=f"{model.name} (average precision {value:.3f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision and recall on the test rows")
    axes.legend()


def _calibration(axes: Any, facts: CalibrationFacts) -> None:
    for line, name in ((facts.before, "raw"), (facts.after, "calibrated")):
        shown = [(x, y) for x, y in zip(line.x, line.y, strict=True) if x > 0 and y > 0]  # a logarithm has no zero
        if shown:
            axes.loglog(*zip(*shown, strict=True), marker="o", label=name)
    axes.axline((1e-3, 1e-3), (1, 1), color="grey", linewidth=1)
    axes.set(xlabel="predicted probability", ylabel="share of fraud", title="Calibration on the test rows")
    axes.legend()


def _cost_curve(axes: Any, facts: ThresholdFacts) -> None:
    axes.plot(facts.cost_curve.x, facts.cost_curve.y)
    axes.axvline(facts.alerts_per_thousand, linestyle="--", label=f"threshold {facts.review_at:.4f}")
    axes.axvline(facts.capacity_per_thousand, linestyle=":", color="grey", label="alert capacity")
    axes.set_xlim(0, 5 * facts.capacity_per_thousand)
    axes.set(xlabel="alerts per thousand payments", ylabel="EUR saved per thousand", title="Cost curve on the validation rows")
    axes.legend()


def _importance(axes: Any, importances: tuple[tuple[str, float], ...]) -> None:
    names, shares = zip(*importances[:15][::-1], strict=True)
    axes.barh(names, shares)
    axes.set(xlabel="share of gain", title="What the model splits on")
