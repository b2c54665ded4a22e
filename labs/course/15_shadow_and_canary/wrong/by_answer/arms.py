"""By who answered."""


def arms(log, plan):
    during = log[(log["epoch"] == plan.epoch) & log["challenger_version"].notna()]
    found = {}
    for arm in ("challenger", "champion"):
        score = during.loc[during["arm"] == arm, f"{arm}_score"]
        found[arm] = (int(score.isna().sum()), len(score))
    return found
