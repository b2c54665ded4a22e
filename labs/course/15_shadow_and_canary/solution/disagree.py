"""Each model at its own policy, and neither milder than the rules."""


def disagree(rows, champion, challenger):
    old = (rows["champion_score"] >= champion["review_at"]) | (rows["rules"] > 0)
    new = (rows["challenger_score"] >= challenger["review_at"]) | (rows["rules"] > 0)
    per = 1000 / len(old)
    return {"both": (old & new).sum() * per, "champion_only": (old & ~new).sum() * per, "challenger_only": (new & ~old).sum() * per}
