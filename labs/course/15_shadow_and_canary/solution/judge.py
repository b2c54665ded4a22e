"""Two bets, each good for any number of looks: that failures prefer the challenger, and that they are rarer than the margin."""

from pipelines.rollout.sequential import CEILING_ODDS, HIGHER_ODDS, LOWER_ODDS, OddsTest, rejects

ALPHA, MARGIN, UNSHOWN = 0.01, 0.01, 0.05


def verdict(challenger, champion, share, last):
    (bad, n), (bad_of_champion, _) = challenger, champion
    more = OddsTest.against(HIGHER_ODDS).add(bad, bad_of_champion, share)  # heads: the failure was the challenger's
    rare = OddsTest.against((*CEILING_ODDS, *LOWER_ODDS)).add(bad, n - bad, MARGIN)
    if rejects(more.log_e, ALPHA):
        return "roll_back"
    if rejects(rare.log_e, UNSHOWN):
        return "promote"
    return "inconclusive" if last else "hold"
