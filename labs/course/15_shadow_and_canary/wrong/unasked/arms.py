"""By the card, in the right step, but also where the challenger had been taken out."""


def arms(log, plan):
    rows = log[(log["epoch"] == plan.epoch) & (log["rollout_id"] == plan.rollout_id)]
    whose = rows["card_id"].map(plan.arm)
    found = {}
    for arm in ("challenger", "champion"):
        score = rows.loc[whose == arm, f"{arm}_score"]
        found[arm] = (int(score.isna().sum()), len(score))
    return found
