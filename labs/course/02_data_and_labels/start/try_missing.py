"""Given: `python try_missing.py` loses amounts in three ways, asks your missing.py what happened, and counts the frauds found."""

import numpy as np
from losses import KINDS, found, lost, recovered, served
from missing import fill, mechanism
from rows import features_of, payments

at = served(features_of(payments().labels))
print(f"nothing lost: {found(at, at.model.scores(at.batch['amount'])):.3f} of the frauds found")
print(f"{'':<6}{'yours':<8}{'lost':<7}{'of frauds':<11}{'found: drop':<13}{'fill':<8}{'bias of fill'}")
for seed, kind in enumerate(KINDS, start=1):
    gone = lost(at.batch, kind, seed)
    batch = at.batch.assign(amount=at.batch["amount"].mask(gone))
    try:
        said, filled = mechanism(batch, recovered(at.batch, gone, seed)), fill(at.known, batch)
    except NotImplementedError as left_open:
        raise SystemExit(str(left_open)) from None
    drop = np.where(gone, -1.0, at.model.scores(at.batch["amount"]))
    bias = np.exp(np.log(filled[gone] / at.batch["amount"][gone]).mean()) - 1
    print(
        f"{kind:<6}{said:<8}{gone.mean():<7.0%}{gone[at.is_fraud].mean():<11.0%}{found(at, drop):<13.3f}"
        f"{found(at, at.model.scores(filled)):<8.3f}{bias:+.0%}"
    )
