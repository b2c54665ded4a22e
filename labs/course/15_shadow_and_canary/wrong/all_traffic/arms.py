"""Since the canary began, against before: what a dashboard of the service shows."""


def arms(log, plan):
    during = log["epoch"] == plan.epoch
    failed = log["champion_score"].isna() | log["challenger_score"].isna()
    return {
        "challenger": (int(failed[during].sum()), int(during.sum())),
        "champion": (int(failed[~during].sum()), int((~during).sum())),
    }
