"""The best ROC AUC."""

from statistics import mean


def choose(sweep):
    weights = {fit["weight"] for fit in sweep}
    return max(weights, key=lambda weight: mean(fit["roc_auc"] for fit in sweep if fit["weight"] == weight))
