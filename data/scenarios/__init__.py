"""Drift scenarios: what they are, the catalogue D0 to D17, and a team's own from a file.

For the exercises, the streams of payments, the demo and the benches; monitoring never asks what was injected.
"""

from data.scenarios.catalogue import DEMO_SCENARIO, SCENARIOS, scenario
from data.scenarios.scenario import Action, GroundTruth, Injection, Part, Scenario, Source

__all__ = ["DEMO_SCENARIO", "SCENARIOS", "Action", "GroundTruth", "Injection", "Part", "Scenario", "Source", "scenario"]
