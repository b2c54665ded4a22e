"""Both models scored every payment in the shadow; on how many would they have acted otherwise?"""


def disagree(rows, champion, challenger):
    """Alerts per thousand payments of both models, of the champion only, of the challenger only.

    `rows`: arrays of equal length: `champion_score`, `challenger_score`, `decision` (what was answered: 0 approve, 1 review,
    2 decline) and `rules` (what the rules ask for, whatever the model says: 0, 1 or 2). `champion`, `challenger`: each model's
    policy, a dict with `review_at` and `decline_at`. An alert is a payment that is reviewed or declined.
    """
    old = rows["decision"] > 0
    new = rows["challenger_score"] >= champion["review_at"]
    per = 1000 / len(old)
    return {"both": (old & new).sum() * per, "champion_only": (old & ~new).sum() * per, "challenger_only": (new & ~old).sum() * per}
