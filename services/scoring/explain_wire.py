"""What the service and its explaining child say to each other: one line of JSON each way."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from data.bundle import Calibration
from data.contributions import Attribution
from data.costs import Policy
from data.errors import BundleRefused, LabError, MissingLibrary, ModelFailed, ModelGone

_PROBLEMS: dict[str, type[LabError]] = {kind.code: kind for kind in (BundleRefused, MissingLibrary, ModelFailed, ModelGone)}


class Question(NamedTuple):
    """Whose score is to be taken apart, and of which row: (FEATURE_COUNT,), NaN included."""

    version: str
    features: Sequence[float]

    def line(self) -> bytes:
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Question":
        return cls(*json.loads(line))


class Finding(NamedTuple):
    """The margin taken apart, and what the model's bundle says of margins and scores."""

    attribution: Attribution
    calibration: Calibration
    policy: Policy

    def line(self) -> bytes:
        facts = {"attribution": self.attribution, "calibration": asdict(self.calibration), "policy": self.policy.to_json()}
        return json.dumps(facts).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Finding":
        """The reverse of `line`. Raises the problem that stands there instead."""
        facts = json.loads(line)
        if "problem" in facts:
            code, message, next_step, where = facts["problem"]
            raise _PROBLEMS[code](message, next_step=next_step, where=where)
        base, contributions, margin = facts["attribution"]
        calibration = Calibration(**facts["calibration"])
        return cls(Attribution(base, tuple(contributions), margin), calibration, Policy.from_json(facts["policy"]))


def problem_line(error: LabError) -> bytes:
    """A failure, told instead of a finding."""
    return json.dumps({"problem": (error.code, error.message, error.next_step, error.where)}).encode() + b"\n"
