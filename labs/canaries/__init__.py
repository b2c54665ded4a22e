"""Canary exercises on a virtual clock: a challenger with a known fault goes through a rollout, and what judge and controller made of it.

No services, no network, no wall clock: one process and a seed give the same bytes each time. The judge, the controller, the
ledger and the models are the product's own; only registry, service and traffic are played (`registry.py`, `played.py`). `lab canary run`,
`lab ci canary`, `python -m tests.bench canaries` and the tests run exercises from here.
"""
