"""The scoring service: a payment in, a decision out, nothing lost. `python -m services.scoring` runs it."""
