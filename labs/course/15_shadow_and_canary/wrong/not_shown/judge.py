"""Always-valid against harm; and what is not shown to harm is promoted."""

from pipelines.rollout.sequential import HIGHER_ODDS, OddsTest, rejects


def verdict(challenger, champion, share, last):
    bad, bad_of_champion = challenger[0], champion[0]
    if rejects(OddsTest.against(HIGHER_ODDS).add(bad, bad_of_champion, share).log_e, 0.01):
        return "roll_back"
    return "promote" if last else "hold"
