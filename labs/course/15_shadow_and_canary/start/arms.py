"""Who failed how often during a canary? Counted from the prediction log."""


def arms(log, plan):
    """{"challenger": (failed, payments), "champion": (failed, payments)} of one canary step.

    `log`: a DataFrame in order of arrival, a day before the step included: `card_id`, `rollout_id`, `epoch`, `arm` (who answered:
    where the challenger fails, the champion answers), `challenger_version` (None: not asked), `champion_score`,
    `challenger_score` (NaN where that model failed). `plan`: the step's `data.serving_plan.ServingPlan` with `epoch`,
    `rollout_id`, `share`; `plan.arm(card_id)` says whose card it is.
    """
    during = log["epoch"] == plan.epoch
    failed = log["champion_score"].isna() | log["challenger_score"].isna()
    return {
        "challenger": (int(failed[during].sum()), int(during.sum())),  # since the canary began
        "champion": (int(failed[~during].sum()), int((~during).sum())),  # before
    }
