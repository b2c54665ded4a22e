"""From payments to a registered version: ingest, validate, split, fit, assess, publish. `train` is the whole in order."""
