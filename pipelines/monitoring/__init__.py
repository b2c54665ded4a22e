"""From a window of the prediction log to a decision: profile, detectors, evidence, table, verdict. `monitor` is the whole in order."""
