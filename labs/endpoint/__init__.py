"""Tries an HTTP scoring service out from outside: hostile bodies, a registry that fails, swaps under load, and what it all costs.

Knows only a port, a process and the registry's protocol. Used by the chaos tests and by the labs in which a learner's own
service is on trial.
"""
