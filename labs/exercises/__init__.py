"""Drift exercises on a virtual clock: a champion put to work on seeded payments, a known change, and what monitoring made of it.

No services, no network, no wall clock: one process and a seed give the same bytes each time. `lab drift run`, `lab ci
drift`, the report card of `make bench-drift` and the tests of monitoring all run exercises from here.
"""
