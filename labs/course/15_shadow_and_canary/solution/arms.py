"""By the card, as the plan assigned it, and only in the step under way: whoever answered in the end."""


def arms(log, plan):
    rows = log[(log["epoch"] == plan.epoch) & (log["rollout_id"] == plan.rollout_id) & log["challenger_version"].notna()]
    whose = rows["card_id"].astype(str).map(plan.arm)
    found = {}
    for arm in ("challenger", "champion"):
        score = rows.loc[whose == arm, f"{arm}_score"]
        found[arm] = (int(score.isna().sum()), len(score))
    return found
