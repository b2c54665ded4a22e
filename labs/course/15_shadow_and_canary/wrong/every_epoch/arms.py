"""By the card, whenever it paid: other steps and other rollouts count too."""


def arms(log, plan):
    rows = log[log["challenger_version"].notna()]
    whose = rows["card_id"].map(plan.arm)
    found = {}
    for arm in ("challenger", "champion"):
        score = rows.loc[whose == arm, f"{arm}_score"]
        found[arm] = (int(score.isna().sum()), len(score))
    return found
