"""One honest test, once, when all the evidence is in."""

from pipelines.rollout.sequential import CEILING_ODDS, HIGHER_ODDS, LOWER_ODDS, OddsTest, rejects


def verdict(challenger, champion, share, last):
    if not last:
        return "hold"
    (bad, n), (bad_of_champion, _) = challenger, champion
    if rejects(OddsTest.against(HIGHER_ODDS).add(bad, bad_of_champion, share).log_e, 0.01):
        return "roll_back"
    shown = rejects(OddsTest.against((*CEILING_ODDS, *LOWER_ODDS)).add(bad, n - bad, 0.01).log_e, 0.05)
    return "promote" if shown else "inconclusive"
